#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_contract.py TARE [CLASS..]: what clients of OpenAI's and Anthropic's forms rely on, field by field, by raw requests. Standard library only."""
import json
import os
import sys
import unittest

from test_serve import CHAT, TEXT, One

RESPONSES, MESSAGES, EMBEDDINGS = "/v1/responses", "/v1/messages", "/v1/embeddings"
HI = [{"role": "user", "content": "Hi"}]
LEAST = {TEXT: {"prompt": "Once upon", "max_tokens": 3, "temperature": 0}, CHAT: {"messages": HI, "max_tokens": 3, "temperature": 0},
         RESPONSES: {"input": "Hi", "max_output_tokens": 3}, MESSAGES: {"messages": HI, "max_tokens": 3}}


def schema(of):
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": of}}


# field: values that are refused by its name, values that are taken
SHARED = {
    "model": ([1, True, [], {}], ["fable"]),
    "max_tokens": (["5", 1.0, True, -1, []], [0, 1, 10 ** 12]),
    "temperature": (["1", True, -0.1, 2.1], [0, 0.5, 2]),
    "top_p": (["1", True, -0.1, 1.1], [0, 1]),
    "top_k": (["1", 1.0, True, -1], [0, 2 ** 31 - 1]),
    "min_p": (["0", True, -0.1, 1.1], [0, 1]),
    "frequency_penalty": (["0", True, -2.1, 2.1], [-2, 2]),
    "presence_penalty": (["0", True, -2.1, 2.1], [-2, 2]),
    "repetition_penalty": (["1", True, 0, -1, 2.1], [0.001, 2]),
    "logit_bias": ([[], "x", {"a": 1}, {"-1": 1}, {"1.0": 1}, {"": 1}, {"1": "1"}, {"1": True}, {"1": 101}, {"1": -101}, {"999999": 1}], [{}, {"5": 100}, {"5": -100}]),
    "seed": (["1", 1.0, True], [-2 ** 63, 2 ** 63 - 1]),
    "stop": ([1, [1], "", [""], ["a"] * 17, {}, True], ["a", ["a"] * 16, []]),
    "n": (["1", 1.0, True, 0, 17], [1, 16]),
    "stream": (["true", 1, []], [False]),
    "stream_options": (["x", [], {}, {"include_usage": True}], []),  # without stream
    "response_format": (["json_object", [], {}, {"type": "x"}, {"type": 1}, {"type": "json_schema"}, schema("x"), schema({"type": "strange"}),
                         schema({"$ref": "http://a.example/b"})], [{"type": "text"}, schema({"enum": [1]})]),
    "ignore_eos": (["true", 1], [True]),
}
OTHER = "user metadata store service_tier prompt_cache_key safety_identifier verbosity".split()  # not ours, of any type
FIELDS = {
    TEXT: {**SHARED, "best_of": (["1", 1.0, True, 0, 17], [1, 16]), "echo": (["x", 1], [True]), "logprobs": ([True, False, "1", -1, 21, 1.0], [0, 20])},
    CHAT: {**SHARED, "max_completion_tokens": (["1", 1.0, True, -1], [0, 2]), "logprobs": ([1, "true"], [True]), "top_logprobs": ([1, 21, -1, "1"], []),
           "messages": ([[], "x", {}, [1], [{}], [{"role": "x", "content": "a"}], [{"role": 1, "content": "a"}], [{"role": "user"}], [{"role": "user", "content": 1}],
                         [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}], [{"role": "user", "content": [{"type": "text"}]}]],
                        [[{"role": "developer", "content": "x"}, *HI], [{"role": "user", "content": [{"type": "text", "text": "a"}]}]]),
           "chat_template_kwargs": ([[], "x", 1], [{}]), "reasoning_effort": ([1, []], ["low"]), "parallel_tool_calls": ([1, "x"], [False])},
    RESPONSES: {"input": ([1, [], {}, [1], [{}], [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]],
                          ["x", [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]]),
                "instructions": ([1, []], ["x"]), "max_output_tokens": (["1", 1.0, True, 0], [1]), "temperature": (["1", 3], [0]), "top_p": ([2], [0]),
                "stream": ([1], [False]), "tools": (["x", {}, 1], [[]]), "text": (["x", 1, []], [{}, {"format": {"type": "text"}}]),
                "reasoning": (["x", 1, []], [{}, {"effort": "low"}]), "previous_response_id": (["x"], []), "model": ([1], ["fable"])},
    MESSAGES: {"messages": ([[], {}, "x", [1], [{}], [{"role": "system", "content": "x"}], [{"role": "user", "content": 1}], [{"role": "user", "content": [1]}],
                             [{"role": "user", "content": [{"type": "image", "source": {}}]}]], [[{"role": "user", "content": [{"type": "text", "text": "a"}]}]]),
               "max_tokens": (["1", 1.0, True, 0, -1], [1]), "system": ([1, {}, [1]], ["x", [{"type": "text", "text": "x"}]]), "temperature": (["x", -1], [0]),
               "top_k": ([-1, "1"], [1]), "stop_sequences": (["", [1]], [["x"]]), "stream": ([1], [False]), "tools": (["x", {}, 1], [[]]),
               "tool_choice": (["x", {}, {"type": "x"}], []), "model": ([1], ["fable"])},
}


class Fields(One):
    def check(self, path, field, value, status, named=True):
        got, answer = self.server.ask(path, {**LEAST[path], field: value})
        with self.subTest(path=path, field=field, value=value):
            self.assertEqual(got, status, answer)
            if status == 200:
                return
            error = answer["error"]
            self.assertNotRegex(error["message"], r"[\x00-\x1f\x7f-\x9f]")
            if path == MESSAGES:
                self.assertEqual((answer["type"], set(error)), ("error", {"type", "message"}))
            else:
                self.assertEqual(set(error), {"message", "type", "param", "code"})
                if named:
                    self.assertEqual(error["param"], field)

    def test_refused(self):
        for path, fields in FIELDS.items():
            for field, (wrong, _) in fields.items():
                for value in wrong:
                    self.check(path, field, value, 400)

    def test_taken(self):
        for path, fields in FIELDS.items():
            for field, (_, good) in fields.items():
                for value in good:
                    self.check(path, field, value, 200)

    def test_null_is_absent(self):
        needed = ("messages", "input")
        for path, fields in FIELDS.items():
            for field in [*fields, *OTHER]:
                missing = field in needed or (path == MESSAGES and field == "max_tokens")
                self.check(path, field, None, 400 if missing else 200)

    def test_unknown_fields(self):
        for path in FIELDS:
            for field in OTHER:
                self.check(path, field, {"a": [1]}, 200)

    def test_names_with_nul(self):
        """A name is compared whole: what stands behind U+0000 counts."""
        self.check(TEXT, "model", "fable\0other", 400)
        self.assertEqual(self.server.ask(EMBEDDINGS, {"input": "a", "encoding_format": "float\0"})[0], 400)

    def test_beyond_64_bits(self):
        for field in ("max_tokens", "seed", "n"):
            self.check(TEXT, field, 2 ** 70, 400, named=False)

    def test_quotes(self):
        """Of a request an error repeats at most 80 bytes."""
        long = "x" * 500
        for path, body in ((TEXT, {"model": long}), (TEXT, {"logit_bias": {long: 1}}), (TEXT, {"response_format": {"type": long}}),
                           *((TEXT, {"response_format": schema(s)}) for s in (
                               {"type": long}, {"$ref": "#/" + long}, {"type": "string", "pattern": "(" + long}, {"properties": {long: {"type": "q"}}},
                               {"type": "object", "required": [long], "additionalProperties": False}))):
            status, answer = self.server.ask(path, {**LEAST[path], **body})
            if status != 200:
                self.assertNotIn("x" * 81, answer["error"]["message"])

    def test_prompts(self):
        for value in ("x", ["x", "y"], [5], [[5], [6, 7]]):
            self.check(TEXT, "prompt", value, 200)
            self.assertEqual(self.server.ask(EMBEDDINGS, {"input": value})[0], 200)
        for value in (None, [], [[]], [5, "x"], ["x", 5], ["x", [5]], [[5], "x"], [2048], [-1], [5.0], [True], 1, {}, [[5], []]):
            self.check(TEXT, "prompt", value, 400)
            self.assertEqual(self.server.ask(EMBEDDINGS, {"input": value})[1]["error"]["param"], "input")
        choices = self.text(prompt=["a", "b"], n=2)["choices"]
        self.assertEqual([c["index"] for c in choices], [0, 1, 2, 3])
        self.assertEqual(choices[0]["text"], choices[1]["text"])
        self.assertEqual(choices[2]["text"], self.text(prompt="b")["choices"][0]["text"])


    def test_many_inputs(self):
        """Embeddings of as many texts as clients send at once, in the order of the texts."""
        texts = ["%d foxes" % i for i in range(600)]
        data = self.server.ask(EMBEDDINGS, {"input": texts})[1]["data"]
        self.assertEqual([row["index"] for row in data], list(range(600)))
        self.assertEqual(data[599]["embedding"], self.server.ask(EMBEDDINGS, {"input": texts[599]})[1]["data"][0]["embedding"])
        self.assertEqual(self.server.ask(EMBEDDINGS, {"input": ["a"] * 2049})[1]["error"]["param"], "input")

    def test_parse_special(self):
        """Without parse_special the name of a special token is text."""
        content = "A <|endoftext|> fox"
        found = {parse: self.server.ask("/tokenize", {"content": content, "parse_special": parse})[1]["tokens"] for parse in (None, True, False)}
        self.assertEqual(found[None], found[True])
        self.assertIn(0, found[True])
        self.assertNotIn(0, found[False])
        for ids in found.values():
            self.assertEqual(self.server.ask("/detokenize", {"tokens": ids})[1]["content"], content)


class Streams(One):
    def chunks(self, **fields):
        events = self.server.events(TEXT, {"prompt": "Once upon a time", "temperature": 0, "max_tokens": 8, **fields})
        self.assertEqual(events.pop(), "[DONE]")
        return [json.loads(e) for e in events]

    def test_echo(self):
        """Echoed prompts come first, and the logprobs of each chunk are those of its text."""
        for fields in ({"logprobs": 2}, {"logprobs": 0, "n": 2}, {"logprobs": 1, "max_tokens": 0}, {"logprobs": 1, "prompt": [5 + i for i in range(200)]},
                       {"logprobs": 1, "prompt": ["One fox", "Two hens"]}, {}):
            with self.subTest(fields):
                whole = self.text(**{"max_tokens": 8, **fields, "echo": True})["choices"]
                chunks = [c["choices"][0] for c in self.chunks(**fields, echo=True)]
                for choice in whole:
                    own = [c for c in chunks if c["index"] == choice["index"]]
                    self.assertEqual("".join(c["text"] for c in own), choice["text"])
                    for c in own:
                        self.assertEqual("".join(c["logprobs"]["tokens"]) if c["logprobs"] else c["text"] * ("logprobs" not in fields), c["text"])
                    for column in choice["logprobs"] or ():
                        self.assertEqual([e for c in own if c["logprobs"] for e in c["logprobs"][column]], choice["logprobs"][column])

    def test_usage(self):
        chunks = self.chunks(stream_options={"include_usage": True}, n=2)
        last = chunks.pop()
        self.assertEqual((last["choices"], last["usage"]), ([], self.text(max_tokens=8, n=2)["usage"] | {"prompt_tokens_details": last["usage"]["prompt_tokens_details"]}))
        self.assertTrue(all(c["usage"] is None and c["choices"] for c in chunks))
        self.assertEqual(len({(c["id"], c["created"], c["model"], c["object"]) for c in [*chunks, last]}), 1)

    def events(self, path, body):
        """[(event, data)] of a stream whose events have names."""
        status, raw = self.server.ask(path, {**LEAST[path], "temperature": 0, **body, "stream": True})
        self.assertEqual(status, 200, raw)
        blocks = [b.split("\n") for b in raw.decode().split("\n\n") if b and not b.startswith(":")]
        found = [(b[0][7:], json.loads(b[1][6:])) for b in blocks]
        self.assertTrue(all(name == data["type"] for name, data in found))
        return found

    def test_responses(self):
        found = self.events(RESPONSES, {})
        self.assertEqual([data["sequence_number"] for _, data in found], list(range(len(found))))
        names = [name[9:] for name, _ in found]
        deltas = names.count("output_text.delta")
        self.assertEqual(names, ["created", "in_progress", "output_item.added", "content_part.added", *["output_text.delta"] * deltas, "output_text.done",
                                 "content_part.done", "output_item.done", "incomplete"])
        whole = self.server.ask(RESPONSES, {**LEAST[RESPONSES], "temperature": 0})[1]["output"][0]["content"][0]["text"]
        self.assertEqual("".join(data["delta"] for name, data in found if name.endswith("delta")), whole)

    def test_responses_without_text(self):
        """An answer without a word has the same events: what the last one lists was announced."""
        body = {"input": "Hi", "max_output_tokens": 1, "temperature": 2}
        seed = next(k for k in range(8000) if not self.server.ask(RESPONSES, {**body, "seed": k})[1]["output"][0]["content"][0]["text"])
        found = self.events(RESPONSES, {**body, "seed": seed})
        added = [data["item"]["id"] for name, data in found if name == "response.output_item.added"]
        self.assertEqual(added, [item["id"] for item in found[-1][1]["response"]["output"]])
        self.assertEqual([name[9:] for name, _ in found], ["created", "in_progress", "output_item.added", "content_part.added", "output_text.done",
                                                           "content_part.done", "output_item.done", "completed"])

    def test_messages(self):
        names = [name for name, _ in self.events(MESSAGES, {})]
        self.assertEqual([n for n in names if n not in ("ping", "content_block_delta")],
                         ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"])
        for more, reason in (({}, "max_tokens"), ({"stop_sequences": [" "], "max_tokens": 40}, "stop_sequence")):
            found = self.events(MESSAGES, more)
            self.assertEqual(found[-2][1]["delta"]["stop_reason"], reason)
            self.assertEqual(found[-2][1]["delta"]["stop_sequence"], " " if reason == "stop_sequence" else None)


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
