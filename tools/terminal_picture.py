#!/usr/bin/env python3
"""terminal_picture.py TARE [--check]: write docs/terminal.svg, the picture in README.md, or say whether it is up to date.

The picture is a terminal session. Each command below is run with the program TARE, and what it prints becomes the picture's
text, so the picture can always be made again and never shows what the program does not print. Standard library only."""
import os
import subprocess
import sys
from xml.sax.saxutils import escape

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PICTURE = os.path.join(ROOT, "docs/terminal.svg")
COMMANDS = [["check"], ["explain", "fable", "lm_head.qweight"], ["run", "--temp", "0.6", "--seed", "1", "--max-tokens", "42"]]
COLUMNS = 104  # a longer line is broken at a space
WIDTH, HEIGHT, MARGIN, TOP = 8.4, 19, 16, 44  # of a character, of a line, around the text, above it; in pixels
PLAIN, GREEN, BACK, BAR = "#d6deeb", "#7fd88f", "#10161f", "#1c2532"


def session(tare):
    """Lines of the session as (text, colour)."""
    lines = []
    for args in COMMANDS:
        done = subprocess.run([tare, *args], stdin=subprocess.DEVNULL, capture_output=True, cwd=ROOT, check=True, text=True)
        lines.append(("$ tare " + " ".join(args), GREEN))
        for line in done.stdout.rstrip("\n").split("\n"):
            colour = GREEN if line.startswith("sound:") else PLAIN
            while len(line) > COLUMNS:
                at = line.rindex(" ", 0, COLUMNS) + 1
                lines.append((line[:at], colour))
                line = line[at:]
            lines.append((line, colour))
        lines.append(("", PLAIN))
    return lines[:-1]


def picture(lines):
    width, height = round(2 * MARGIN + COLUMNS * WIDTH), TOP + len(lines) * HEIGHT + MARGIN
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">' % (width, height, width, height),
           "<title>A terminal session: tare checks, explains and runs the model that is built in</title>",
           '<rect width="%d" height="%d" rx="8" fill="%s"/>' % (width, height, BACK),
           '<path d="M0 28V8a8 8 0 0 1 8-8h%da8 8 0 0 1 8 8v20z" fill="%s"/>' % (width - 16, BAR)]
    out += ['<circle cx="%d" cy="14" r="5" fill="%s"/>' % (MARGIN + 18 * i, c) for i, c in enumerate(("#e06c6c", "#e0b86c", "#7fd88f"))]
    out.append('<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="14">')
    for i, (text, colour) in enumerate(lines):
        words = text.strip()
        if words:  # textLength keeps columns straight in any font
            out.append('<text x="%.1f" y="%d" fill="%s" textLength="%.1f" xml:space="preserve">%s</text>' % (
                MARGIN + (len(text) - len(text.lstrip())) * WIDTH, TOP + 14 + i * HEIGHT, colour, len(words) * WIDTH, escape(words)))
    return "\n".join(out + ["</g>", "</svg>", ""])


def main():
    want = picture(session(os.path.abspath(sys.argv[1])))
    if sys.argv[2:] == ["--check"]:
        if not os.path.exists(PICTURE) or open(PICTURE, encoding="utf-8").read() != want:
            print("docs/terminal.svg is not what the program prints today: run tools/terminal_picture.py build/tare")
            return 1
        return 0
    with open(PICTURE, "w", encoding="utf-8") as f:
        f.write(want)
    return 0


if __name__ == "__main__":
    sys.exit(main())
