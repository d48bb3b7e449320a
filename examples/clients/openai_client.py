"""OpenAI's client (pip install openai): python openai_client.py [http://127.0.0.1:8080]"""
import sys

from openai import OpenAI

client = OpenAI(base_url=(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080") + "/v1", api_key="none")
model = client.models.list().data[0].id
messages = [{"role": "user", "content": "Tell me a story about a fox."}]

answer = client.chat.completions.create(model=model, messages=messages, max_tokens=30, temperature=0)
print("chat:", answer.choices[0].message.content)

stream = client.chat.completions.create(model=model, messages=messages, max_tokens=30, temperature=0, stream=True)
print("stream:", "".join(chunk.choices[0].delta.content or "" for chunk in stream))

hero = {"type": "object", "properties": {"animal": {"enum": ["fox", "hen"]}, "age": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["animal", "age"], "additionalProperties": False}
answer = client.chat.completions.create(model=model, messages=messages, temperature=0, response_format={
    "type": "json_schema", "json_schema": {"name": "hero", "schema": hero, "strict": True}})
print("schema:", answer.choices[0].message.content)

tool = {"type": "function", "function": {"name": "remember", "parameters": hero}}
answer = client.chat.completions.create(model=model, messages=messages, temperature=0, tools=[tool], tool_choice="required")
print("tool:", answer.choices[0].message.tool_calls[0].function.name, answer.choices[0].message.tool_calls[0].function.arguments)

answer = client.responses.create(model=model, input=messages[0]["content"], max_output_tokens=30, temperature=0)
print("response:", answer.output_text)

vectors = client.embeddings.create(model=model, input=["A fox", "A hen"]).data
print("embeddings:", len(vectors), "of", len(vectors[0].embedding))
