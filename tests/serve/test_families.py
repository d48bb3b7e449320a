#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_families.py TARE: calls of tools with models of each family. The models are fable with the family's marks in its
vocabulary and a template that shows them; a bias on the first mark makes the model begin a call. Standard library only."""
import json
import os
import shutil
import sys
import tempfile
import unittest

sys.argv = sys.argv[:2]
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_serve import CHAT, Server  # noqa: E402

FABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../models/fable")
PLAIN = {"type": "object", "properties": {"to": {"enum": ["N", "S"]}, "n": {"type": "integer", "minimum": 0, "maximum": 99},
                                          "on": {"type": "boolean"}}, "required": ["to", "n"], "additionalProperties": False}
NESTED = {"type": "object", "properties": {"at": {"type": "object", "properties": {"k": {"enum": ["a", "b"]}}, "required": ["k"],
                                                  "additionalProperties": False},
                                           "l": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 5}, "minItems": 1,
                                                 "maxItems": 2}}, "required": ["at", "l"], "additionalProperties": False}
TOOLS = [{"type": "function", "function": {"name": "go", "parameters": PLAIN}},
         {"type": "function", "function": {"name": "set-it", "parameters": NESTED}},
         {"type": "function", "function": {"name": "halt"}}]
BRIEF = [{"type": "function", "function": {"name": "go", "parameters": {"type": "object", "properties": {"to": {"enum": ["N", "S"]}},
                                                                       "required": ["to"], "additionalProperties": False}}}]
BAR = "\uff5c"
# What a template writes for a call, the tokens that are special or plain, and the one that begins a call.
FAMILIES = {
    "harmony": ("<|channel|>commentary<|message|>", ["<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|call|>"], [" to=functions."]),
    "gemma4": ("<|tool_call>call:", ["<|tool_call>", "<tool_call|>", '<|"|>', "<|channel>", "<channel|>"], []),
    "function_gemma": ("<start_function_call>", ["<start_function_call>", "<end_function_call>", "<escape>"], []),
    "command_r": ("<|START_ACTION|>", ["<|START_ACTION|>", "<|END_ACTION|>", "<|START_THINKING|>", "<|END_THINKING|>"], []),
    "lfm2": ("<|tool_call_start|>", ["<|tool_call_start|>", "<|tool_call_end|>"], []),
    "deepseek_dsml": (f"{BAR}DSML{BAR}", [f"{BAR}DSML{BAR}"], [f"<{BAR}DSML{BAR}invoke name=\""]),
    "mistral_args": ("[TOOL_CALLS]x[ARGS]", ["[TOOL_CALLS]", "[ARGS]"], []),
    "deepseek_fenced": (f"<{BAR}tool▁sep{BAR}>probe_it\n```json", [f"<{BAR}tool▁call▁begin{BAR}>", f"<{BAR}tool▁sep{BAR}>", f"<{BAR}tool▁call▁end{BAR}>"], []),
    "deepseek_plain": (f"<{BAR}tool▁sep{BAR}>", [f"<{BAR}tool▁call▁begin{BAR}>", f"<{BAR}tool▁sep{BAR}>", f"<{BAR}tool▁call▁end{BAR}>"], []),
    "kimi": ("<|tool_call_argument_begin|>", ["<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"], []),
    "qwen_coder": ("<function=", [], ["<function=", "</parameter>", "</function>", "<tool_call>"]),
    "minimax": ("<invoke name=", [], ["<invoke name=\"", "</parameter>", "</invoke>"]),
    "glm_tags": ("<arg_key>", ["<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"], []),
    "minicpm": ('<function name="x"><param name="', [], ['<function name="', "</param>", "</function>"]),
    "muse": ("<atem:invoke", [], ['<atem:invoke name="', "</atem:parameter>", "</atem:invoke>"]),
    "gigachat": ("<|function_call|>", ["<|function_call|>"], []),
    "mistral_list": ("[TOOL_CALLS][", ["[TOOL_CALLS]"], []),
    "nemotron": ("<TOOLCALL>", [], ["<TOOLCALL>", "</TOOLCALL>"]),
    "hermes": ("<tool_call>", [], ["<tool_call>", "</tool_call>", "<think>", "</think>"]),
    "granite_list": ("<|tool_call|>", ["<|tool_call|>"], []),
    "llama": ('"parameters"', ["<|python_tag|>"], ['{"name"']),
    "generic": (None, [], ['{"name"']),
}


def make(folder, marks, special, plain, opening=""):
    """fable with other tokens in the place of its last ones, and with a template that shows the marks."""
    shutil.copytree(FABLE, folder)
    path = os.path.join(folder, "tokenizer.json")
    with open(path, encoding="utf-8") as f:
        tokenizer = json.load(f)
    vocabulary = tokenizer["model"]["vocab"]
    by_id = {i: t for t, i in vocabulary.items()}
    ids = {}
    for k, text in enumerate(special + plain):
        i = len(by_id) - 1 - k
        gone = by_id[i]
        del vocabulary[gone]
        vocabulary[text] = i
        tokenizer["model"]["merges"] = [m for m in tokenizer["model"]["merges"] if "".join(m if isinstance(m, list) else m.split(" ")) != gone]
        tokenizer["added_tokens"].append({"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                                          "normalized": False, "special": text in special})
        ids[text] = i
    with open(path, "w", encoding="utf-8") as f:
        json.dump(tokenizer, f)
    known = "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}" if marks else ""
    template = (known + "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}" + json.dumps(marks or "").join(("{{ ", " }}")) +
                "{{ c.function.name }}{% endfor %}{% endfor %}{% if add_generation_prompt %}:" + opening + "{% endif %}")
    with open(os.path.join(folder, "chat_template.jinja"), "w", encoding="utf-8") as f:
        f.write(template)
    return ids


def tools_of(name):
    """Tools that a message describes to the model must be brief: fable has a context of 256 tokens."""
    return BRIEF if name == "generic" else TOOLS


def fits(value, schema):
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema["type"]
    if kind == "integer":
        return type(value) is int and schema["minimum"] <= value <= schema["maximum"]
    if kind == "boolean":
        return type(value) is bool
    if kind == "array":
        return type(value) is list and schema["minItems"] <= len(value) <= schema["maxItems"] and all(fits(v, schema["items"]) for v in value)
    return (type(value) is dict and set(schema["required"]) <= set(value) <= set(schema["properties"])
            and all(fits(v, schema["properties"][k]) for k, v in value.items()))


class Families(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.ids = {}
        paths = []
        for name, (marks, special, plain) in FAMILIES.items():
            paths.append(os.path.join(cls.folder.name, name))
            cls.ids[name] = make(paths[-1], marks, special, plain)
        paths.append(os.path.join(cls.folder.name, "thinker"))
        cls.ids["thinker"] = make(paths[-1], "<tool_call>", [], ["<tool_call>", "</tool_call>", "<think>", "</think>"], '{{ "<think>\\n" }}')
        half = len(paths) // 2  # one server takes 16 models
        cls.servers = [Server(*some, "--parallel", "2") for some in (paths[:half], paths[half:])]
        cls.of = {name: cls.servers[i >= half] for i, name in enumerate(cls.ids)}

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers:
            server.__exit__(None, None, None)
        cls.folder.cleanup()

    def ask(self, name, path=CHAT, **fields):
        body = {"model": name, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 150, "seed": 7, **fields}
        status, answer = self.of[name].ask(path, body)
        self.assertEqual(status, 200, answer)
        return answer

    def valid(self, calls, tools=TOOLS):
        self.assertTrue(calls)
        self.assertEqual(len({c["id"] for c in calls}), len(calls))
        for call in calls:
            tool = next(t["function"] for t in tools if t["function"]["name"] == call["function"]["name"])
            arguments = json.loads(call["function"]["arguments"])
            self.assertTrue(fits(arguments, tool["parameters"]) if "parameters" in tool else arguments == {}, call)

    def streamed(self, name, **fields):
        """A stream, joined as a client does: content, thoughts, calls, finish."""
        body = {"model": name, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 150, "seed": 7, **fields}
        content, thought, calls, finish, pieces = "", "", [], None, 0
        for event in self.of[name].events(CHAT, body)[:-1]:
            [choice] = json.loads(event)["choices"]
            delta = choice["delta"]
            content += delta.get("content") or ""
            thought += delta.get("reasoning_content") or ""
            finish = choice["finish_reason"] or finish
            for c in delta.get("tool_calls", []):
                if "id" in c:
                    self.assertEqual((c["index"], c["type"], c["function"]["arguments"]), (len(calls), "function", ""))
                    calls.append({"id": c["id"], "function": dict(c["function"])})
                else:
                    self.assertEqual((c["index"], set(c)), (len(calls) - 1, {"index", "function"}))
                    calls[-1]["function"]["arguments"] += c["function"]["arguments"]
                    pieces += 1
        return content, thought, calls, finish, pieces

    def test_required(self):
        for name in self.ids:
            for seed in range(3):
                choice = self.ask(name, tools=tools_of(name), tool_choice="required", temperature=1, seed=seed)["choices"][0]
                with self.subTest(name, seed=seed, choice=choice):
                    self.valid(choice["message"]["tool_calls"], tools_of(name))
                    self.assertEqual((choice["finish_reason"], choice["message"]["content"]), ("tool_calls", None))

    def test_named(self):
        for name in self.ids:
            for tool in tools_of(name):
                with self.subTest(name, tool=tool["function"]["name"]):
                    named = {"type": "function", "function": {"name": tool["function"]["name"]}}
                    calls = self.ask(name, tools=tools_of(name), tool_choice=named, temperature=1)["choices"][0]["message"]["tool_calls"]
                    self.valid(calls, tools_of(name))
                    self.assertEqual({c["function"]["name"] for c in calls}, {tool["function"]["name"]})

    def begins(self, name):
        """The token that begins a call."""
        family = "hermes" if name == "thinker" else name
        special, plain = FAMILIES[family][1:]
        first = plain[0] if family in ("harmony", "deepseek_dsml", "llama", "generic") else (special + plain)[0]
        return {str(self.ids[name][first]): 100}

    def test_begun(self):
        """A call that the model begins is valid by its tool, whole and as a stream."""
        for name in FAMILIES:
            for seed in range(3):
                fields = {"tools": tools_of(name), "logit_bias": self.begins(name), "parallel_tool_calls": False, "temperature": 1, "seed": seed}
                choice = self.ask(name, **fields)["choices"][0]
                with self.subTest(name, seed=seed, choice=choice):
                    calls = choice["message"]["tool_calls"]
                    self.valid(calls, tools_of(name))
                    self.assertEqual((len(calls), choice["finish_reason"], choice["message"]["content"]), (1, "tool_calls", None))
                    content, thought, told, finish, pieces = self.streamed(name, **fields)
                    self.assertEqual((content, thought, finish), ("", "", "tool_calls"))
                    self.assertEqual([c["function"] for c in told], [c["function"] for c in calls])

    def test_several(self):
        for name in ("hermes", "gemma4", "mistral_args", "qwen_coder", "kimi", "deepseek_plain"):
            choice = self.ask(name, tools=TOOLS, logit_bias=self.begins(name), temperature=1, max_tokens=200)["choices"][0]
            with self.subTest(name, choice=choice):
                calls = choice["message"]["tool_calls"]
                self.assertGreater(len(calls), 1)
                self.valid(calls[:-1])

    def test_pieces(self):
        """Arguments come piece by piece, also in the other forms."""
        tool = [{"type": "function", "function": {"name": "say", "parameters": {"type": "object", "properties": {
            "text": {"type": "string", "minLength": 60, "maxLength": 80}}, "required": ["text"], "additionalProperties": False}}}]
        for name in ("hermes", "gemma4", "glm_tags", "lfm2"):
            with self.subTest(name):
                content, _, calls, finish, pieces = self.streamed(name, tools=tool, logit_bias=self.begins(name), parallel_tool_calls=False)
                self.assertEqual((content, finish), ("", "tool_calls"))
                self.assertGreater(pieces, 5)
                self.assertTrue(60 <= len(json.loads(calls[0]["function"]["arguments"])["text"]) <= 80, calls)

    def test_other_forms(self):
        flat = [{"type": "function", **TOOLS[0]["function"]}]
        events = self.of["hermes"].ask("/v1/responses", {"model": "hermes", "input": "Hi", "stream": True, "tools": flat, "tool_choice": "required"})[1]
        data = [json.loads(line[6:]) for line in events.decode().splitlines() if line.startswith("data: ")]
        self.assertEqual([d["sequence_number"] for d in data], list(range(len(data))))
        pieces = [d["delta"] for d in data if d["type"] == "response.function_call_arguments.delta"]
        done = [d for d in data if d["type"] == "response.function_call_arguments.done"]
        items = [i for i in data[-1]["response"]["output"] if i["type"] == "function_call"]
        self.assertEqual("".join(pieces), "".join(d["arguments"] for d in done))
        self.assertEqual([d["arguments"] for d in done], [i["arguments"] for i in items])
        self.assertGreater(len(pieces), len(done))
        claude = [{"name": "go", "input_schema": PLAIN}]
        events = self.of["hermes"].ask("/v1/messages", {"model": "hermes", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 150,
                                                  "stream": True, "tools": claude, "tool_choice": {"type": "any", "disable_parallel_tool_use": True}})[1]
        data = [json.loads(line[6:]) for line in events.decode().splitlines() if line.startswith("data: ")]
        text = "".join(d["delta"]["partial_json"] for d in data if d["type"] == "content_block_delta")
        self.assertTrue(fits(json.loads(text), PLAIN), text)
        self.assertEqual([d["delta"]["stop_reason"] for d in data if d["type"] == "message_delta"], ["tool_use"])
        starts = [d["index"] for d in data if d["type"] == "content_block_start"]
        self.assertEqual((starts, [d["index"] for d in data if d["type"] == "content_block_stop"]), ([0], [0]))

    def test_thoughts(self):
        """Thoughts that the template opens end at their mark; stop and response_format are of the content alone."""
        end = {str(self.ids["thinker"]["</think>"]): 100}
        schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": PLAIN}}
        choice = self.ask("thinker", logit_bias=end, response_format=schema, temperature=1)["choices"][0]
        self.assertTrue(choice["message"]["content"], choice)
        self.assertTrue(fits(json.loads(choice["message"]["content"]), PLAIN), choice)
        answer = self.ask("thinker", max_tokens=12, temperature=0)
        message = answer["choices"][0]["message"]
        self.assertEqual(message["content"], "")
        self.assertEqual(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], 12)
        thought = message["reasoning_content"]
        self.assertGreater(len(thought), 8)
        again = self.ask("thinker", max_tokens=12, temperature=0, stop=thought[3:6])["choices"][0]
        self.assertEqual((again["message"]["reasoning_content"], again["finish_reason"]), (thought, "length"))

    def test_stop(self):
        whole = self.ask("hermes", max_tokens=30, temperature=0)["choices"][0]["message"]["content"]
        stop = whole[20:24]
        choice = self.ask("hermes", max_tokens=30, temperature=0, stop=stop)["choices"][0]
        self.assertEqual((choice["message"]["content"], choice["finish_reason"]), (whole[:whole.index(stop)], "stop"))
        content, *_ = self.streamed("hermes", max_tokens=30, temperature=0, stop=stop)
        self.assertEqual(content, whole[:whole.index(stop)])

    def test_both(self):
        """Tools and response_format: a call is valid by its tool, content by the schema."""
        schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": NESTED}}
        for name in ("hermes", "gemma4", "harmony", "generic", "mistral_args"):
            with self.subTest(name):
                fields = {"tools": tools_of(name), "response_format": schema, "temperature": 1}
                calls = self.ask(name, logit_bias=self.begins(name), parallel_tool_calls=False, **fields)["choices"][0]["message"]["tool_calls"]
                self.valid(calls, tools_of(name))
                without = {k: -100 for k in self.begins(name)}
                message = self.ask(name, logit_bias=without, **fields)["choices"][0]["message"]
                if message.get("content"):
                    self.assertTrue(fits(json.loads(message["content"]), NESTED), message)

    def test_free(self):
        """Tools that are not called change nothing of a text."""
        for name in ("hermes", "gemma4", "mistral_args", "kimi"):
            plain = self.ask(name, temperature=0, max_tokens=40, tool_choice="none", tools=TOOLS)["choices"][0]["message"]["content"]
            prompt = self.of[name].ask("/apply-template", {"model": name, "messages": [{"role": "user", "content": "Hi"}], "tools": TOOLS})[1]["prompt"]
            ids = self.of[name].ask("/tokenize", {"model": name, "content": prompt})[1]["tokens"]
            text = self.ask(name, path="/v1/completions", prompt=ids, temperature=0, max_tokens=40)["choices"][0]["text"]
            auto = self.ask(name, temperature=0, max_tokens=40, tools=TOOLS)["choices"][0]["message"]["content"]
            self.assertEqual(auto, text)
            self.assertTrue(plain)

    def test_loose(self):
        """A schema that no grammar is made of leaves arguments free, and is refused where a call is required."""
        odd = [{"type": "function", "function": {"name": "odd", "parameters": {"type": "object", "propertyNames": {"pattern": "a"}}}}]
        answer = self.ask("hermes", tools=odd, max_tokens=20)
        self.assertTrue(answer["choices"])
        status, answer = self.of["hermes"].ask(CHAT, {"model": "hermes", "messages": [{"role": "user", "content": "Hi"}], "tools": odd, "tool_choice": "required"})
        self.assertEqual((status, answer["error"]["param"]), (400, "tools"))


HISTORY = [{"role": "user", "content": "Weather?"},
           {"role": "assistant", "content": None, "tool_calls": [
               {"id": "call_1", "type": "function", "function": {"name": "go", "arguments": "{\"to\": \"N\"}"}},
               {"id": "call_2", "type": "function", "function": {"name": "go", "arguments": "{}"}}]},
           {"role": "tool", "tool_call_id": "call_1", "content": "3"}, {"role": "tool", "tool_call_id": "call_2", "content": "4"}]


class Histories(unittest.TestCase):
    """Calls and results go back as the template wants them."""

    TEMPLATES = {
        "objects": "{{ tools }}<tool_call>{% for m in messages %}{{ m.name }}{% for c in m.tool_calls %}{{ c.function.arguments.items() | list }}{% endfor %}"
                   "{{ m.content }};{% endfor %}",
        "texts": "{{ tools }}<tool_call>{% for m in messages %}{% for c in m.tool_calls %}{{ '!' + c.function.arguments }}{% endfor %}{{ m.content }};{% endfor %}",
        "nine": "{{ tools }}[ARGS]{% for m in messages %}{% for c in m.tool_calls %}{{ c.id }} {% endfor %}{{ m.tool_call_id }};{% endfor %}",
        "knows_nothing": "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}",
        "refuses_system": "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ m.role }}:{{ m.content }};{% endfor %}",
    }

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        paths = [os.path.join(cls.folder.name, name) for name in cls.TEMPLATES]
        for path, template in zip(paths, cls.TEMPLATES.values()):
            shutil.copytree(FABLE, path)
            with open(os.path.join(path, "chat_template.jinja"), "w", encoding="utf-8") as f:
                f.write(template)
        cls.server = Server(*paths)

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)
        cls.folder.cleanup()

    def render(self, name, tools=BRIEF):
        status, answer = self.server.ask("/apply-template", {"model": name, "messages": HISTORY, "tools": tools})
        self.assertEqual(status, 200, answer)
        return answer["prompt"]

    def test_arguments(self):
        self.assertIn("('to', 'N')", self.render("objects"))
        self.assertIn("go3;go4;", self.render("objects"))
        self.assertIn('!{"to": "N"}!{}', self.render("texts"))

    def test_ids(self):
        ids = self.render("nine").split("[ARGS]")[1].replace(";", " ").split()
        self.assertEqual((len(ids), ids[:2]), (4, ids[2:]))
        self.assertTrue(all(len(i) == 9 and i.isalnum() for i in ids) and ids[0] != ids[1], ids)

    def test_text(self):
        known = self.render("knows_nothing")
        self.assertTrue(known.startswith("system:You may call"), known)
        self.assertIn('assistant:{"name": "go", "arguments": {"to": "N"}}\n{"name": "go", "arguments": {}};user:3\n4;', known)
        refused = self.render("refuses_system")
        self.assertTrue(refused.startswith("user:Weather?\n\nYou may call"), refused)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
