"""LiteLLM (pip install litellm): python litellm_client.py [http://127.0.0.1:8080]"""
import json
import os
import sys
import urllib.request

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches a list of prices when it is imported
import litellm  # noqa: E402

base = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080") + "/v1"
with urllib.request.urlopen(base + "/models") as models:
    model = "openai/" + json.load(models)["data"][0]["id"]
asked = {"model": model, "api_base": base, "api_key": "none", "max_tokens": 30, "temperature": 0,
         "messages": [{"role": "user", "content": "Tell me a story about a fox."}]}

print("chat:", litellm.completion(**asked).choices[0].message.content)

print("stream:", "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(**asked, stream=True)))

print("text:", litellm.text_completion(model="text-completion-openai/" + model[7:], prompt="Once upon a time", api_base=base, api_key="none", max_tokens=30,
                                       temperature=0).choices[0].text)
