"""serving - what bench/serve.py is made of: servers that are started and ended (servers.py), clients (load.py) and pictures (plot.py)."""
