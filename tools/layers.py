#!/usr/bin/env python3
"""layers.py [ROOT] | --self-test: does every #include and every call go down, and does every name mean one thing?

Rooms of src/, from the ground up. A file includes from its own room, from rooms below it and, within a level, where
BESIDE says so; it calls a tare_ function only when such a header declares it and the file includes that header, directly or
through others:"""
import os
import re
import sys
import tempfile

# A folder within a room has a line of its own where the order matters; else it belongs to its room. "." is src/tare.c.
LEVELS = [["base"], ["kernels", "config", "open", "gguf"], ["text", "template"], ["grammar"], ["module"], ["packing"], ["names", "tree"],
          ["blocks"], ["blocks/attention", "blocks/recurrent", "blocks/feed_forward", "blocks/stream"], ["models"], ["plan"],
          ["run/weights"], ["run/session", "run"], ["save"], ["quantize"], ["read"], ["audit"], ["repair"], ["hub"], [".", "serve"]]
ALONE = {"serve"}  # a part of the command: it includes tare.h and its own headers only
CLI_SEES = ("serve/serve.h", "serve/inspect.h", "serve/page.h")
BESIDE = {"config": {"open"}, "open": {"gguf"}, "template": {"text"}}
LONGEST = 600  # lines; a file that says in its first five lines that it is generated may be longer
MOST = 45  # files of a folder of src/: some forty can be read as a list, more are two rooms
CROWDED = {"models"}  # one file for each architecture: the list is meant to be long
STANDS_IN = "_plain.c"  # a file that is compiled in place of another, so it defines the same structs
# Headers of other projects that comments name as a source.
FOREIGN = {"ggml.h", "ggml-common.h", "llama.h", "linux/fs.h"}

__doc__ += "".join("\n    " + " ".join(level).replace(" .", " tare.c") for level in LEVELS[:-1]) + """
    tare.c serve

cli/ and src/serve/ include tare.h and their own headers only, and cli/ those of src/hub, serve/serve.h, inspect.h and page.h. No file is over %d lines, but for generated ones, and no folder of src/ holds
more than %d files, but for models/. Within src/, as within cli/, no two files share a base name, except a .c and its .h, .S
or .def. No struct, enum or union tare_x is defined in two files. What a comment in src/, cli/ and include/, or a document in
docs/, cites (a document, a source file) is in the repository.
""" % (LONGEST, MOST)

LEVEL = {room: i for i, level in enumerate(LEVELS) for room in level}
ENDS = (".c", ".h", ".cu", ".def", ".inc", ".S")
COMMENT = re.compile(r"/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"", re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.M)
DECLARED = re.compile(r"^[A-Za-z_][^;{}()=#]*?\b(tare_\w+)\(", re.M)
TYPED = re.compile(r"^(?:extern )?tare_\w+ (tare_\w+(?:, tare_\w+)*);", re.M)  # functions declared by the name of their type
MACRO = re.compile(r"^#\s*define\s+(tare_\w+)\(", re.M)
CALL = re.compile(r"(?<![\w>.])(tare_\w+)\(")
TAG = re.compile(r"^(?:static |const |typedef )*(struct|enum|union) (tare_\w+)\s*\{", re.M)
CITED = re.compile(r"(?<![\w./*-])((?:[\w.-]+/)*[\w-]+\.(?:md|c|h|def)|(?:tools|tests|bench)/[\w./-]+\.py)(?!\.?[\w*#{<])|((?:golden|shared)/)")


def sources(root, top):
    found = []
    for folder, _, files in os.walk(os.path.join(root, top)):
        found += [os.path.relpath(os.path.join(folder, f), os.path.join(root, top)) for f in files if f.endswith(ENDS)]
    return sorted(found)


def room_of(path):
    """The longest leading part of a path that has a level; else its first folder."""
    folder = os.path.dirname(path).replace(os.sep, "/")
    while folder and folder not in LEVEL and "/" in folder:
        folder = folder.rsplit("/", 1)[0]
    return folder or "."


def above(here, there):
    """Why a file of one room may use nothing of another, or None."""
    if here == there or there in BESIDE.get(here, ()):
        return None
    if there not in LEVEL:
        return "is in a folder that has no level"
    if here in ALONE:
        return "is not tare.h: %s uses the public API only" % here
    return None if LEVEL[there] < LEVEL[here] else "goes up: %s stands on a level below %s" % (here, there)


def found_at(root, top, path, name):
    """The path within top of a header that a file includes, or None."""
    for found in (name, os.path.normpath(os.path.join(os.path.dirname(path), name))):
        if os.path.exists(os.path.join(root, top, found)):
            return found
    return None


class Source:
    """A file: its text, the same without comments and strings, and what it includes and declares."""

    def __init__(self, root, top, path):
        self.path, self.at, self.room = path, os.path.join(top, path), room_of(path)
        with open(os.path.join(root, self.at), encoding="utf-8") as f:
            self.text = f.read()
        self.lines = self.text.splitlines()
        # a comment or string becomes as many line breaks as it had, so that lines keep their numbers
        self.code = COMMENT.sub(lambda m: "\n" * m.group().count("\n"), self.text)
        self.includes = [(self.text.count("\n", 0, m.start()) + 1, m.group(1)) for m in INCLUDE.finditer(self.text)]
        self.headers = [h for h in (found_at(root, top, path, name) for _, name in self.includes) if h]
        self.declares = set(DECLARED.findall(self.code) + MACRO.findall(self.code))
        self.declares.update(name for names in TYPED.findall(self.code) for name in names.split(", "))


def reached(files, path, known):
    """All headers that a file includes, directly or through others."""
    if path not in known:
        known[path] = set()  # a cycle ends here
        for header in files[path].headers if path in files else ():
            known[path] |= {header} | reached(files, header, known)
    return known[path]


def wrong_calls(files, public):
    """Calls of functions of a room above, and of functions that no included header declares."""
    where, known, bad = {}, {}, []
    for path, source in files.items():
        for name in source.declares if path.endswith((".h", ".inc")) else ():
            where.setdefault(name, set()).add(path)
    for path, source in files.items():
        own = reached(files, path, known) | {path}
        for m in CALL.finditer(source.code):
            name = m.group(1)
            headers = where.get(name, set())
            if name in public or headers & own and not all(above(source.room, files[h].room) for h in headers):
                continue
            if not headers and path.endswith((".h", ".def")):  # an argument of a macro
                continue
            if not headers and re.search(r"^static [^;{}()=\n]*\b%s\(" % name, source.code, re.M):
                continue
            why = [above(source.room, files[h].room) for h in headers if above(source.room, files[h].room)]
            bad.append("%s:%d: %s() %s" % (source.at, source.code.count("\n", 0, m.start()) + 1, name,
                                           why[0] if why else "is declared in no header that this file includes"))
    return bad


def double_tags(files):
    first, bad = {}, []
    for source in files.values():
        for m in TAG.finditer(source.code):
            if source.path.endswith(STANDS_IN):
                continue
            other = first.setdefault(m.group(2), source)
            if other is not source:
                bad.append("%s:%d: %s %s is defined in %s too" % (source.at, source.code.count("\n", 0, m.start()) + 1, m.group(1),
                                                                  m.group(2), other.at))
    return bad


def repository(root):
    """Base names of all files, but for those of builds."""
    names = set()
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith((".", "build"))]
        names.update(files)
    return names


def wrong_citations(root, at, text, whole, names):
    """Documents and source files that a text cites and the repository lacks; of source code only comments count."""
    bad = []
    for part in [(0, text)] if whole else [(m.start(), m.group()) for m in COMMENT.finditer(text) if m.group().startswith("/*")]:
        for m in CITED.finditer(part[1]):
            name = m.group(1) or m.group(2)
            there = name in FOREIGN or "NAME" in name or ("/" not in name and name in names) or any(
                os.path.exists(os.path.join(root, base, name))
                for base in ("", "src", "cli", "include", "docs", os.path.dirname(at)))
            if not there or m.group(2):
                bad.append("%s:%d: cites %s, which is not in the repository" % (at, text.count("\n", 0, part[0] + m.start()) + 1, name))
    return bad


def check_top(root, top, files):
    bad, seen, count = [], {}, {}
    for path, source in files.items():
        folder = os.path.dirname(path)
        count[folder] = count.get(folder, 0) + 1
        if top == "src" and source.room not in LEVEL:
            bad.append("%s: the folder has no level in tools/layers.py" % source.at)
            continue
        for number, name in source.includes:
            found = found_at(root, top, path, name)
            hub = top == "cli" and name.startswith("hub/") and found_at(root, "src", path, name)  # a room of the command alone
            why = None if name == "tare.h" or hub or (top == "cli" and name in CLI_SEES) else "is not in include/ or %s/" % top if not found else \
                above(source.room, room_of(found)) if top == "src" else None
            if why:
                bad.append("%s:%d: \"%s\" %s" % (source.at, number, name, why))
        if len(source.lines) > LONGEST and not any(re.search("generated|made by tools/", line.lower()) for line in source.lines[:5]):
            bad.append("%s: %d lines, at most %d" % (source.at, len(source.lines), LONGEST))
        stem, end = os.path.splitext(path)
        other = seen.setdefault(os.path.basename(stem), path)
        if other != path and not (os.path.splitext(other)[0] == stem and {os.path.splitext(other)[1], end} <= {".c", ".h", ".S", ".def"}):
            bad.append("%s: has the name of %s" % (source.at, os.path.join(top, other)))
    return bad + ["%s: %d files, at most %d" % (os.path.join(top, folder), n, MOST)
                  for folder, n in sorted(count.items()) if top == "src" and n > MOST and folder not in CROWDED]


def check(root):
    bad, names, public = [], repository(root), set()
    for top in ("include", "src", "cli"):
        files = {path: Source(root, top, path) for path in sources(root, top)}
        for source in files.values():
            bad += wrong_citations(root, source.at, source.text, False, names)
        if top == "include":
            public = {name for source in files.values() for name in source.declares | set(DECLARED.findall(
                re.sub(r"^TARE_API ", "", source.code, flags=re.M)))}
            continue
        bad += check_top(root, top, files)
        if top == "src":
            bad += wrong_calls(files, public) + double_tags(files)
    folder = os.path.join(root, "docs")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if name.endswith(".md"):
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                bad += wrong_citations(root, os.path.join("docs", name), f.read(), True, names)
    return bad


def self_test():
    """Each rule, broken once."""
    tree = {
        "src/base/a.h": "void tare_low(void);\nstruct tare_twice {\n", "src/open/b.h": '#include "base/a.h"\nvoid tare_side(void);\n',
        "src/config/c.h": '#include "open/b.h"\n', "src/open/up.c": '#include "config/c.h"\n', "src/base/up2.c": '#include "open/b.h"\n',
        "src/base/none.c": '#include "x/y.h"\n', "src/odd/d.c": "", "src/plan/b.c": "", "src/base/long.c": "\n" * 601,
        "src/base/table.c": "/* generated by x */" + "\n" * 700, "src/tare.c": '#include "plan/e.h"\n',
        "src/plan/e.h": '#include "tare.h"\nvoid tare_high(void);\n', "cli/main.c": '#include "own.h"\n#include "base/a.h"\n',
        "cli/own.h": "", "cli/own.c": "", "include/tare.h": "TARE_API int tare_public(void);\n",
        # calls: down through another header, of the public ones, up, and without an include
        "src/save/f.c": '#include "config/c.h"\nint f(void)\n{\n    tare_low();\n    return tare_public();\n}\n',
        "src/open/g.c": "void g(void)\n{\n    tare_high(); /* tare_low(); */\n}\n", "src/save/h.c": "void h(void)\n{\n    tare_high();\n}\n",
        "src/save/i.c": "void tare_hidden(void);\nvoid i(void)\n{\n    tare_hidden();\n}\n",
        # rooms within a room
        "src/blocks/root.c": '#include "blocks/stream/part.h"\n', "src/blocks/stream/part.h": '#include "blocks/root.h"\n', "src/blocks/root.h": "",
        "src/plan/twice.h": "struct tare_twice {\n",
        # a room that has the public API only
        "src/serve/one.c": '#include "tare.h"\n#include "serve/two.h"\n#include "base/a.h"\n', "src/serve/two.h": "",
        # citations
        "src/plan/cites.c": "/* docs/there.md, there.md, models/NAME.c, ggml.h, transformer.h.0, plan/e.h */\n/*\n * gone.md */\n"
                            "/* plan/gone.c */ const char *no = \"never.md\";\n/* golden/x */\n",
        "docs/there.md": "See `src/plan/e.h`.\nAnd `docs/gone.md`.\n"}
    tree.update({"src/audit/many%d.c" % i: "" for i in range(MOST + 1)})
    want = ["cli/main.c:2", "docs/there.md:2", "src/audit", "src/base/long.c", "src/base/none.c:1", "src/base/up2.c:1", "src/blocks/root.c:1",
            "src/odd/d.c", "src/open/g.c:3", "src/open/up.c:1", "src/plan/b.c", "src/plan/cites.c:3", "src/plan/cites.c:4",
            "src/plan/cites.c:5", "src/plan/twice.h:1", "src/save/h.c:3", "src/save/i.c:1", "src/save/i.c:4", "src/serve/one.c:3"]
    with tempfile.TemporaryDirectory() as root:
        for path, text in tree.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                f.write(text)
        got = check(root)
    found = sorted(line.split(": ")[0] for line in got)
    return [] if found == want else ["self-test: found %s, want %s" % ("\n".join(got), want)]


def main():
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    bad = self_test() if sys.argv[1:] == ["--self-test"] else check(sys.argv[1] if len(sys.argv) > 1 else ".")
    for line in bad:
        print(line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
