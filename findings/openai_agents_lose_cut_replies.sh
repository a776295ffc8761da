#!/usr/bin/env bash
# openai-agents 0.24.0: a reply that reaches `max_tokens` is an error by one of its two APIs, and its text is lost.
#
# Surprise: with `ModelSettings(max_tokens=8)`, an agent whose model is an `OpenAIChatCompletionsModel` returns the text
# that was cut (`finish_reason` "length") as its output. The same agent with an `OpenAIResponsesModel`, which is the
# default, raises `ModelBehaviorError` for a response of the status "incomplete", although the response has the text.
# The exception does not have it.
#
# Why it matters: a limit of tokens is no fault of the model's behavior, and the text was paid for. A program that is
# moved from one API to the other fails on replies that it accepted, and only on long ones.
#
# Workaround: use `OpenAIChatCompletionsModel`, or a limit that no reply reaches.
#
# Seen with openai-agents 0.24.0, openai 3.57.0, CPython 3.11, Linux x86-64:
#   chat completions: 'a reply that was cut'
#   responses: ModelBehaviorError, without the text
#
# Exits 0 while this holds, 1 if the behavior has changed. Needs python3 (or PYTHON) and a package index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "openai-agents==0.24.0" "openai==3.57.0"

cat > "$folder/replies.py" <<'PYTHON'
import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from agents import (
    Agent,
    AsyncOpenAI,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    set_tracing_disabled,
)

TEXT = "a reply that was cut"
CHAT = {
    "id": "1",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 8, "total_tokens": 9},
}
PART = {"type": "output_text", "text": TEXT, "annotations": []}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 0,
    "model": "m",
    "status": "incomplete",
    "incomplete_details": {"reason": "max_output_tokens"},
    "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "incomplete", "content": [PART]}],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 9,
    },
}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_stream = bool(request.get("stream"))
        if self.path.endswith("/chat/completions"):
            body = json.dumps(CHAT)
        elif is_stream:
            event = {"type": "response.incomplete", "sequence_number": 0, "response": RESPONSE}
            body = f"event: response.incomplete\ndata: {json.dumps(event)}\n\n"
        else:
            body = json.dumps(RESPONSE)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if is_stream else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
set_tracing_disabled(True)


async def reply(kind):
    client = AsyncOpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="k", max_retries=0)
    agent = Agent(name="a", model=kind(model="m", openai_client=client), model_settings=ModelSettings(max_tokens=8))
    try:
        return repr((await Runner.run(agent, "Who are you?")).final_output)
    except Exception as error:
        has_text = TEXT in str(error)
        return f"{type(error).__name__}, {'with' if has_text else 'without'} the text"


async def main():
    return [
        f"chat completions: {await reply(OpenAIChatCompletionsModel)}",
        f"responses: {await reply(OpenAIResponsesModel)}",
    ]


seen = asyncio.run(main())
print("\n".join(seen))
expected = [
    f"chat completions: {TEXT!r}",
    "responses: ModelBehaviorError, without the text",
]
sys.exit(seen != expected)
PYTHON

"$folder/venv/bin/python" -W ignore "$folder/replies.py"
