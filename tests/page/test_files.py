#!/usr/bin/env python3
"""test_files.py TARE: the page's files ask nothing of another host and hold no script in markup, and the reports of check and
diff are whole, valid and safe whatever a checkpoint is called. Standard library only; the page itself is tested in a browser
by test_page.py."""
import base64
import hashlib
import html.parser
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "src/serve/page")
FABLE = os.path.join(ROOT, "models/fable")
TARE = None


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


class Markup(html.parser.HTMLParser):
    """What a page is made of: elements with their attributes, and the texts of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.texts.append([tag, dict(attrs), ""])
            self.open.append(tag)
        elif tag not in ("meta", "link", "br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, "%s is closed within %s" % (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.texts[-1][2] += data


class Files(unittest.TestCase):
    names = sorted(os.listdir(PAGE))

    def test_no_inline_script(self):
        markup = Markup(read(os.path.join(PAGE, "index.html")))
        self.assertEqual(markup.open, [])
        for tag, attributes in markup.elements:
            self.assertFalse([name for name in attributes if name.startswith("on") or name == "style"], tag)
            for name in ("src", "href"):
                if name in attributes:
                    self.assertRegex(attributes[name], r"\A(#\w+|[\w.]+)\Z")
                    if not attributes[name].startswith("#"):
                        self.assertIn(attributes[name], self.names)
        self.assertEqual([text for _, _, text in markup.texts if text.strip()], [])

    def test_nothing_from_elsewhere(self):
        for name in self.names:
            text = read(os.path.join(PAGE, name)).replace("http://www.w3.org/2000/svg", "")
            self.assertEqual(re.findall(r"https?:/?/?[\w.]+\.\w+|@import|url\(", text), [], name)

    def test_no_markup_from_text(self):
        for name in self.names:
            if name.endswith(".js"):
                text = read(os.path.join(PAGE, name))
                self.assertEqual(re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", text), [], name)
                for module in re.findall(r'^import .* from "(.*)";$', text, re.M):
                    self.assertTrue(module.startswith("./") and module[2:] in self.names, "%s imports %s" % (name, module))
                self.assertEqual(len(re.findall(r"^import ", text, re.M)), len(re.findall(r'^import .* from ".*";$', text, re.M)), name)

    def test_reports_share_one_scope(self):
        """Modules of a report become one script, where no two names may be the same; and all that is imported is in it."""
        for line in re.findall(r"^tare_report\((.*)\)$", read(os.path.join(ROOT, "cmake/page.cmake")), re.M):
            modules = line.split('"')[2].split()
            self.assertGreater(len(modules), 1)
            names = []
            for module in modules:
                text = read(os.path.join(PAGE, module + ".js"))
                names += re.findall(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", text, re.M)
                self.assertLessEqual(set(re.findall(r'from "\./(\w+)\.js"', text)), set(modules))
                self.assertNotIn("import *", text)
            self.assertEqual(sorted(names), sorted(set(names)), line)


class Reports(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def report(self, status, *args):
        file = os.path.join(self.folder, "out.html")
        done = subprocess.run([TARE, *args, "--html", file], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        return read(file)

    def data(self, text):
        """Checks a report, and gives its data."""
        markup = Markup(text)
        self.assertEqual(markup.open, [])
        policy = [a["content"] for tag, a in markup.elements if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
        self.assertEqual(len(policy), 1)
        self.assertIn("default-src 'none'", policy[0])
        self.assertNotIn("unsafe", policy[0])
        self.assertEqual([a for _, a in markup.elements if "src" in a or "href" in a], [])
        kinds = {}
        for tag, attributes, content in markup.texts:
            kinds[tag, attributes.get("type")] = content
        self.assertEqual(set(kinds), {("style", None), ("script", "application/json"), ("script", "module")})
        self.assertEqual(len(markup.texts), 3)
        for kind in (("style", None), ("script", "module")):
            digest = base64.b64encode(hashlib.sha256(kinds[kind].encode()).digest()).decode()
            self.assertIn("%s-src 'sha256-%s'" % (kind[0], digest), policy[0])
        self.assertNotRegex(kinds["script", "module"], r"(?m)^(import|export) ")
        return json.loads(kinds["script", "application/json"])

    def test_check(self):
        data = self.data(self.report(0, "check", FABLE))
        self.assertEqual(data["plan"]["head"][0]["decision"], "drop")
        with open(os.path.join(FABLE, "model.safetensors"), "rb") as f:
            header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        header.pop("__metadata__", None)
        self.assertEqual({one["name"]: one["bytes"] for one in data["sources"]},
                         {name: one["data_offsets"][1] - one["data_offsets"][0] for name, one in header.items()})

    def test_a_name_is_no_markup(self):
        """A tensor, a key and a folder whose names would end a script."""
        bad = "</script><script>alert(1)</script><!--"
        folder = os.path.join(self.folder, "<b>&")
        os.mkdir(folder)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
            json.dump({"model_type": "llama", bad: bad}, f)
        header = json.dumps({bad: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        with open(os.path.join(folder, "model.safetensors"), "wb") as f:
            f.write(struct.pack("<Q", len(header)) + header + bytes(4))
        text = self.report(4, "check", folder)
        self.assertNotIn("<script>alert", text)
        data = self.data(text)
        self.assertEqual(data["config"][bad], bad)
        self.assertEqual(data["plan"]["model"], folder)

    def test_diff(self):
        other = os.path.join(self.folder, "other")
        shutil.copytree(FABLE, other)
        with open(os.path.join(other, "model.safetensors"), "r+b") as f:
            size = struct.unpack("<Q", f.read(8))[0]
            header = json.loads(f.read(size))
            f.seek(8 + size + header["model.norm.weight"]["data_offsets"][0])
            f.write(b"\x00\x3c")  # 1.0 in place of the first number
        data = self.data(self.report(1, "diff", FABLE, other))
        worst = [one for one in data["parameters"] if one["same"] == "different"]
        self.assertEqual([one["name"] for one in worst], ["model.norm.weight"])
        self.assertEqual(self.data(self.report(0, "diff", FABLE, FABLE))["equal"], True)

    def test_a_folder_that_is_not_there(self):
        done = subprocess.run([TARE, "check", FABLE, "--html", os.path.join(self.folder, "no/out.html")], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 4)
        self.assertRegex(done.stderr, r"\Atare: .*out\.html: [^\n]+\n\Z")


if __name__ == "__main__":
    TARE = os.path.abspath(sys.argv.pop(1))
    unittest.main()
