"""header.py: what the public headers declare, read from the preprocessed text of include/tare.h. Used by the tests of this folder."""
import os
import re
import subprocess
import tempfile

Function = tuple  # (result, name, [(type, name)])


def preprocess(source, compiler="cc"):
    """The declarations of tare.h alone: the system headers are empty ones."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("stdbool.h", "stddef.h", "stdint.h"):
            open(os.path.join(folder, name), "w").close()
        text = subprocess.run([compiler, "-E", "-P", "-nostdinc", "-I" + folder, "-DTARE_API=TARE_API", source + "/include/tare.h"],
                              check=True, capture_output=True, text=True).stdout
    return re.sub(r"\s+", " ", text)


def split_parameter(text):
    """("const char *", "path") of "const char *path"; a pointer to a function stays whole in the type."""
    text = text.strip()
    pointer = re.match(r"(.*\(\*)(\w+)(\).*)$", text)
    if pointer:
        return pointer.group(1) + pointer.group(3), pointer.group(2)
    plain = re.match(r"(.*?[\s*])(\w+)(\[[^\]]*\])?$", text)
    return plain.group(1).strip() + (plain.group(3) or ""), plain.group(2)


def split_commas(text):
    parts, depth, last = [], 0, 0
    for at, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == "," and not depth:
            parts.append(text[last:at])
            last = at + 1
    return parts + [text[last:]]


class Header:
    def __init__(self, source, compiler="cc"):
        text = preprocess(source, compiler)
        self.functions = []
        for result, name, rest in re.findall(r"TARE_API ([^;(]*?[\s*])(tare_\w+)\(((?:[^;])*?)\);", text):
            rest = rest.strip()
            parameters = [] if rest == "void" else [split_parameter(p) for p in split_commas(rest)]
            self.functions.append((result.strip(), name, parameters))
        self.structs = {}
        for name, body in re.findall(r"struct (tare_\w+) \{(.*?)\};", text):
            self.structs[name] = [split_parameter(f) for whole in body.split(";") if whole.strip() for f in self.fields(whole)]
        self.enums = {}
        for name, body in re.findall(r"enum (tare_\w+) \{(.*?)\};", text):
            self.enums[name] = [item.split("=")[0].strip() for item in body.split(",") if item.strip()]
        self.objects = [name for tag, name in re.findall(r"typedef struct (tare_\w+) (tare_\w+);", text)]
        self.callbacks = re.findall(r"typedef ([^;{}]*\(\*tare_\w+\)[^;]*);", text)

    @staticmethod
    def fields(text):
        """"const char *a, *b" declares two."""
        parts = split_commas(text)
        base = re.match(r"((?:const |struct |enum |unsigned )*\w+)", parts[0].strip()).group(1)
        return [parts[0]] + ["%s %s" % (base, p.strip()) for p in parts[1:]]
