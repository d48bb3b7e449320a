"""Anthropic's client (pip install anthropic): python anthropic_client.py [http://127.0.0.1:8080]"""
import sys

from anthropic import Anthropic

client = Anthropic(base_url=sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080", api_key="none")
model = client.models.list().data[0].id
greedy = {"temperature": 0}  # newer versions of the client have no argument for it
messages = [{"role": "user", "content": "Tell me a story about a fox."}]

answer = client.messages.create(model=model, messages=messages, max_tokens=30, extra_body=greedy)
print("chat:", answer.content[0].text)

with client.messages.stream(model=model, messages=messages, max_tokens=30, extra_body=greedy) as stream:
    print("stream:", "".join(stream.text_stream))

hero = {"type": "object", "properties": {"animal": {"enum": ["fox", "hen"]}}, "required": ["animal"], "additionalProperties": False}
answer = client.messages.create(model=model, messages=messages, max_tokens=60, extra_body=greedy, tools=[{"name": "remember", "input_schema": hero}],
                                tool_choice={"type": "any"})
print("tool:", answer.content[0].name, answer.content[0].input)
