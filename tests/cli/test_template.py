#!/usr/bin/env python3
"""test_template.py TARE: tare template on tests/data/template/jinja.json (rendered by jinja2 as transformers sets it up), and which file a
model's template is taken from. Standard library only."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

TARE = ""
DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data/template/jinja.json")
HELLO = [{"role": "user", "content": "hello"}]


def render(files, given, *flags):
    """(exit status, stdout, stderr) of a model folder with these files."""
    with tempfile.TemporaryDirectory() as model:
        for name, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(model, name)), exist_ok=True)
            with open(os.path.join(model, name), "w", encoding="utf-8", newline="") as f:
                f.write(text if isinstance(text, str) else json.dumps(text))
        text = given if isinstance(given, str) else json.dumps(given)
        p = subprocess.run([TARE, "template", model, *flags], input=text.encode(), capture_output=True, timeout=60)
        return p.returncode, p.stdout.decode(), p.stderr.decode()


class Language(unittest.TestCase):
    def test_cases(self):
        with open(DATA, encoding="utf-8") as f:
            cases = json.load(f)
        self.assertGreater(len(cases), 100)
        for c in cases:
            with self.subTest(template=c["template"]):
                given = {"messages": HELLO, "strftime_now": "2025-07-04T09:05:03", **c["context"]}
                code, out, err = render({"chat_template.jinja": c["template"]}, given, "--json")
                if "error" in c:
                    self.assertEqual((code, out), (4, ""))
                    self.assertIn("chat_template.jinja:", err)
                else:
                    self.assertEqual((code, out, err), (0, c["rendered"], ""))


class Files(unittest.TestCase):
    NAMED = {"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T{{ tools|length }}"}],
             "bos_token": "<s>", "eos_token": {"__type": "AddedToken", "content": "</s>"}}

    def test_named(self):
        files = {"tokenizer_config.json": self.NAMED}
        self.assertEqual(render(files, {"messages": HELLO}, "--json")[1], "D")
        self.assertEqual(render(files, {"messages": HELLO, "tools": []}, "--json")[1], "T0")

    def test_folder_of_templates(self):
        files = {"tokenizer_config.json": self.NAMED, "chat_template.jinja": "J", "additional_chat_templates/tool_use.jinja": "A"}
        self.assertEqual(render(files, {"messages": HELLO}, "--json")[1], "J")
        self.assertEqual(render(files, {"messages": HELLO, "tools": []}, "--json")[1], "A")

    def test_tokens_and_text(self):
        files = {"tokenizer_config.json": self.NAMED,
                 "chat_template.jinja": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ add_generation_prompt }}{{ pad_token is defined }}"}
        self.assertEqual(render(files, 'say "hi"\n')[1], '<s>say "hi"</s>TrueFalse')
        self.assertEqual(render(files, {"messages": HELLO, "bos_token": "B"}, "--json")[1], "Bhello</s>FalseFalse")

    def test_large_numbers(self):
        """A length without a limit is 1e30 written out, in many published files."""
        files = {"tokenizer_config.json": '{"model_max_length": 1000000000000000019884624838656, "chat_template": "x"}'}
        self.assertEqual(render(files, {"messages": HELLO}, "--json")[:2], (0, "x"))

    def test_messages(self):
        said = [{"role": "assistant", "content": None, "reasoning": "r"}]
        files = {"chat_template.jinja": "{{ messages[0] | tojson }}"}
        self.assertEqual(json.loads(render(files, {"messages": said}, "--json")[1]),
                         {"role": "assistant", "reasoning": "r", "reasoning_content": "r", "thinking": "r"})

    def test_errors(self):
        code, out, err = render({"chat_template.jinja": "a\n\n{{ raise_exception('roles must alternate') }}"}, {"messages": HELLO}, "--json")
        self.assertEqual((code, out, err), (4, "", "tare: chat_template.jinja:3: roles must alternate\n"))
        self.assertEqual(render({"tokenizer_config.json": {}}, {"messages": HELLO}, "--json")[0], 3)
        self.assertEqual(render({"chat_template.jinja": "x"}, "[1]", "--json")[0], 4)
        self.assertEqual(render({"chat_template.jinja": "x"}, {"messages": 3}, "--json")[0], 4)
        for flags in ([], ["--json"]):
            code, out, err = render({"chat_template.jinja": "x"}, "", *flags)
            self.assertEqual((code, out), (2, ""))
            self.assertIn("template: standard input is empty", err)


class Limits(unittest.TestCase):
    def refused(self, template, word):
        code, _, err = render({"chat_template.jinja": template}, {"messages": HELLO}, "--json")
        self.assertEqual(code, 4)
        self.assertIn(word, err)

    def test_limits(self):
        loop = "{% for i in range(9999) %}"
        self.refused(loop * 3 + "{% endfor %}" * 3, "steps")
        self.refused("{{ 'a' * 99999999 }}", "too large")
        self.refused("{% set ns = namespace(t='ab') %}" + loop + "{% set ns.t = ns.t ~ ns.t %}{% endfor %}", "MiB")
        self.refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion")
        self.refused("{% set ns = namespace(l=[]) %}" + loop + "{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}", "nested")
        self.refused("{{ " + "(" * 1000 + "1" + ")" * 1000 + " }}", "nested")
        self.refused("{{ " + "-" * 10000 + "1 }}", "nested")
        self.refused("{{ 1" + "+1" * 10000 + " }}", "in a row")
        self.refused("{% if 1 %}" * 10000 + "{% endif %}" * 10000, "nested")


if __name__ == "__main__":
    TARE = os.path.abspath(sys.argv.pop(1))
    unittest.main()
