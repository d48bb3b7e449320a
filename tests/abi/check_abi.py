#!/usr/bin/env python3
"""check_abi.py [--headers FOLDER] SOURCE SHARED STATIC VERSION: what the built library shows to the outside, and what it asks of the outside.

Headers are SOURCE/include, unless a folder is named.

exports   the names that the shared library exports are those marked TARE_API in tare.h, no more and no fewer
soname    libtare.so.MAJOR
static    every global symbol of the static library starts with tare_
calls     the library prints nothing, ends nothing, reads no environment and uses no unbounded string function
comments  each declaration has one directly above it
version   tare.h and CMakeLists.txt say the same
"""
import glob
import re
import subprocess
import sys

headers = None
if sys.argv[1] == "--headers":
    headers = sys.argv[2]
    del sys.argv[1:3]
source, shared, static, version = sys.argv[1:5]
headers = headers or source + "/include"
BANNED = set("""exit _exit _Exit abort quick_exit sprintf vsprintf strcpy strcat strncpy strncat strtok atoi atol atoll atof gets
    getenv secure_getenv setenv putenv system popen fork printf vprintf puts putchar perror setlocale tmpnam mktemp
    stdout stderr fputs_unlocked signal sigaction""".split())
ALLOWED_ODD = ("__asan", "__ubsan", "__tsan", "_GLOBAL_", "__odr_asan", "__sanitizer", "__sancov")
bad = []


def nm(*args):
    rows = []
    for line in subprocess.run(["nm", *args], check=True, capture_output=True, text=True).stdout.splitlines():
        f = line.split()
        if len(f) >= 2 and not line.endswith(":"):
            rows.append((f[-2], f[-1]))
    return rows


header = "".join(open(path, encoding="utf-8").read() for path in sorted(glob.glob(headers + "/**/*.h", recursive=True)))
text = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
text = re.sub(r"^\s*#.*(?:\\\n.*)*$", "", text, flags=re.M)
declared = set(re.findall(r"\bTARE_API\b[^;(]*?\b(tare_\w+)\s*\(", text))
exported = {name.split("@")[0] for kind, name in nm("-D", "--defined-only", shared) if kind != "A"}
exported = {n for n in exported if not n.startswith(ALLOWED_ODD)}
if not declared:
    bad.append("no TARE_API name found in tare.h")
for name in sorted(declared - exported):
    bad.append("%s: in tare.h, but not exported" % name)
for name in sorted(exported - declared):
    bad.append("%s: exported, but not in tare.h" % name)

dynamic = subprocess.run(["readelf", "-d", shared], check=True, capture_output=True, text=True).stdout
soname = re.search(r"SONAME.*\[(.*)\]", dynamic)
want = "libtare.so." + version.split(".")[0]
if not soname or soname.group(1) != want:
    bad.append("SONAME is %s, not %s" % (soname and soname.group(1), want))

for kind, name in nm("--defined-only", "-g", static):
    if not name.startswith(("tare_",) + ALLOWED_ODD):
        bad.append("%s: a global name of the static library that does not start with tare_" % name)
for kind, name in nm("-u", static):
    plain = name.split("@")[0]
    if plain in BANNED or re.sub(r"^__(\w+)_chk$", r"\1", plain) in BANNED:
        bad.append("%s: library code calls it" % name)

for path in glob.glob(source + "/include/**/*.h", recursive=True):
    lines = open(path, encoding="utf-8").read().splitlines()
    bad += ["%s:%d: a declaration without a comment directly above it" % (path, number + 1) for number, line in enumerate(lines)
            if line.startswith("TARE_API") and not lines[number - 1].rstrip().endswith("*/")]

parts = dict(re.findall(r"#define TARE_VERSION_(MAJOR|MINOR|PATCH) (\d+)", header))
if ".".join(parts[k] for k in ("MAJOR", "MINOR", "PATCH")) != version:
    bad.append("tare.h says another version than CMakeLists.txt (%s)" % version)

for line in bad:
    print(line)
sys.exit(1 if bad else 0)
