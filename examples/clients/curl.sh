#!/bin/sh
# curl.sh [http://127.0.0.1:8080]: the server by hand
set -eu
base=${1:-http://127.0.0.1:8080}
question='"messages": [{"role": "user", "content": "Tell me a story about a fox."}], "max_tokens": 30, "temperature": 0'

curl -sS --fail "$base/health" && echo

curl -sS --fail "$base/v1/chat/completions" -H 'Content-Type: application/json' -d "{$question}" && echo

# a stream, as it comes
curl -sSN --fail "$base/v1/chat/completions" -H 'Content-Type: application/json' -d "{$question, \"stream\": true}"

curl -sS --fail "$base/v1/messages" -H 'Content-Type: application/json' -d "{$question}" && echo
