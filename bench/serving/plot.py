"""plot.py - a picture of what was measured, as SVG: tokens a second and the time to the first token, by clients and server."""
import statistics

WIDTH, PANEL, TOP, LEFT, BASE = 760, 190, 60, 60, 30
COLOURS = ("#d9622b", "#4f7cac", "#8a9a5b", "#8f6f9e")  # readable on white and on black
STYLE = "text{font:12px sans-serif;fill:#777}.title{font-weight:bold;font-size:13px}line{stroke:#999;stroke-width:1}"


def words(x, y, text, anchor="start", kind=""):
    return '<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>' % (x, y, anchor, ' class="%s"' % kind if kind else "", text)


def table(found, figure):
    """{clients: {server: the middle one of the rounds}}"""
    made = {}
    for row in found["rows"]:
        made.setdefault(row["clients"], {}).setdefault(row["server"], []).append(figure(row))
    return {n: {name: statistics.median(values) for name, values in of.items()} for n, of in made.items()}


def short(value):
    return "%.0f" % value if value >= 100 else "%.3g" % value


def panel(top, title, figures, names):
    """Bars in groups of so many clients, each group on its own scale: one client and 32 differ too much for a common one."""
    made = [words(LEFT, top, title, kind="title")]
    wide = (WIDTH - 2 * LEFT) / len(figures)
    bottom = top + PANEL - BASE
    for k, (n, of) in enumerate(sorted(figures.items())):
        at, most = LEFT + k * wide, max(of.values())
        bar = (wide - 40) / len(names)
        for i, name in enumerate(names):
            high = (PANEL - BASE - 40) * of[name] / most
            made.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>' % (at + i * bar, bottom - high, bar - 4, high, COLOURS[i % len(COLOURS)]))
            made.append(words(at + i * bar + (bar - 4) / 2, bottom - high - 5, short(of[name]), "middle"))
        made.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>' % (at - 4, bottom, at + wide - 40, bottom))
        made.append(words(at + (wide - 44) / 2, bottom + 16, "%d client%s" % (n, "" if n == 1 else "s"), "middle"))
    return made


def picture(found, by, threads):
    """by: "wall" or "cpu", what throughput is told in."""
    names = list(found["prefix"])
    rate = "tokens a second" if by == "wall" else "tokens a CPU second of the server"
    panels = ((rate + " (higher is better)", lambda row: row[by]),
              ("first token, p50, seconds (lower is better)", lambda row: statistics.median(row["first"])),
              ("first token, p99, seconds (lower is better)", lambda row: sorted(row["first"])[-(len(row["first"]) // 100) - 1]))
    made = [words(LEFT, 22, "%s, %d thread%s" % (found["model"], threads, "" if threads == 1 else "s"), kind="title")]
    for i, name in enumerate(names):
        made.append('<rect x="%d" y="32" width="11" height="11" fill="%s"/>' % (LEFT + 190 * i, COLOURS[i % len(COLOURS)]))
        made.append(words(LEFT + 190 * i + 16, 42, name))
    for k, (title, figure) in enumerate(panels):
        made += panel(TOP + 14 + k * (PANEL + 14), title, table(found, figure), names)
    height = TOP + 14 + len(panels) * (PANEL + 14)
    return '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">\n<style>%s</style>\n%s\n</svg>\n' % (
        WIDTH, height, WIDTH, height, STYLE, "\n".join(made))
