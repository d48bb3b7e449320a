"""LangChain (pip install langchain-openai): python langchain_client.py [http://127.0.0.1:8080]"""
import json
import sys
import urllib.request

from langchain_openai import ChatOpenAI

base = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080") + "/v1"
with urllib.request.urlopen(base + "/models") as models:
    model = json.load(models)["data"][0]["id"]
chat = ChatOpenAI(model=model, base_url=base, api_key="none", max_tokens=30, temperature=0)
question = "Tell me a story about a fox."

print("chat:", chat.invoke(question).content)

print("stream:", "".join(piece.content for piece in chat.stream(question)))

hero = {"title": "hero", "type": "object", "properties": {"animal": {"enum": ["fox", "hen"]}}, "required": ["animal"], "additionalProperties": False}
print("schema:", chat.with_structured_output(hero, method="json_schema").invoke(question))

tool = {"type": "function", "function": {"name": "remember", "description": "Remembers a hero.", "parameters": hero}}
print("tool:", chat.bind_tools([tool], tool_choice="required").invoke(question).tool_calls[0]["args"])
