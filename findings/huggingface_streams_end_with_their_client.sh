#!/usr/bin/env bash
# huggingface_hub 2.4.0: a stream of `InferenceClient` ends with the last reference to the client, by an error.
#
# Surprise: `text_generation(..., stream=True)` and `chat_completion(..., stream=True)` return an iterator that holds no
# reference to its client. The client closes all of its streams when it is deleted. So a loop over
# `InferenceClient(address).text_generation(prompt, stream=True)` raises `StreamClosed` from the HTTP library before its
# first piece, and so does the stream that a function returns after its local client has gone. The same calls work if a
# variable outside keeps the client. Without `stream=True`, a client that nothing keeps works, too.
#
# Why it matters: the exception names neither the client nor its deletion ("the stream has been closed"), so that the
# server looks as if it had closed the connection. Moving a call into a helper function is enough to cause it.
#
# Workaround: keep the client in a variable for as long as the stream is read, or use `with InferenceClient(...)`.
#
# Seen with huggingface_hub 2.4.0, CPython 3.11, Linux x86-64 (pieces that a program got of "one", " two"):
#   kept client: one, two
#   client in the expression: StreamClosed
#   client of a function that returned its stream: StreamClosed
#   client in the expression, not streamed: one two
#
# Exits 0 while this holds, 1 if the behavior has changed. Needs python3 (or PYTHON) and a package index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "huggingface_hub==2.4.0"

cat > "$folder/streams.py" <<'PYTHON'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from huggingface_hub import InferenceClient

PIECES = ["one", " two"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if request.get("stream"):
            tokens = [{"id": 1, "text": piece, "logprob": 0.0, "special": False} for piece in PIECES]
            events = [{"index": 1, "token": token, "generated_text": None, "details": None} for token in tokens]
            body = "".join(f"data:{json.dumps(event)}\n\n" for event in events).encode()
        else:
            body = json.dumps([{"generated_text": "".join(PIECES)}]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if request.get("stream") else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}"


def start():
    client = InferenceClient(address)
    return client.text_generation("prompt", stream=True)


def describe(name, call):
    try:
        result = call()
        text = result if isinstance(result, str) else ",".join(result)
    except Exception as error:
        text = type(error).__name__
    return f"{name}: {text}"


kept = InferenceClient(address)
seen = [
    describe("kept client", lambda: kept.text_generation("prompt", stream=True)),
    describe("client in the expression", lambda: InferenceClient(address).text_generation("prompt", stream=True)),
    describe("client of a function that returned its stream", start),
    describe("client in the expression, not streamed", lambda: InferenceClient(address).text_generation("prompt")),
]
print("\n".join(seen))
expected = [
    "kept client: one, two",
    "client in the expression: StreamClosed",
    "client of a function that returned its stream: StreamClosed",
    "client in the expression, not streamed: one two",
]
sys.exit(seen != expected)
PYTHON

"$folder/venv/bin/python" "$folder/streams.py"
