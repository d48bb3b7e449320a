"""The cases of tests/data/models, as tools/model_cases.py folds them."""
import re


def unfold(rows):
    """[name, shape, dtype] of each tensor: "{0-3}" in a name stands for numbers, a dtype left out for float32."""
    for name, shape, *dtype in rows:
        span = re.search(r"\{(\d+)-(\d+)\}", name)
        if not span:
            yield [name, shape, dtype[0] if dtype else "float32"]
            continue
        for n in range(int(span[1]), int(span[2]) + 1):
            yield from unfold([[name[:span.start()] + str(n) + name[span.end():], shape, *dtype]])


def config_of(doc, case):
    """The config of a case, which is told as what differs from the document's."""
    config = {**doc["config"], **case["config"]}
    for key in config.pop("-", []):
        config.pop(key)
    return config
