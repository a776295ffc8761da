#!/usr/bin/env bash
# tritonclient 2.73.0: a compressed `infer` leaves its headers in the caller's dictionary.
#
# Surprise: `infer(..., headers=headers, request_compression_algorithm="gzip")` writes `Content-Encoding` and
# `Inference-Header-Content-Length` into the dictionary that the caller passed. A program that keeps its headers, an API
# key for example, in one dictionary sends both with every later request: a GET without a body claims to be compressed,
# and so does the next `infer`, whose body is plain JSON of another length.
#
# Why it matters: a server that believes the headers answers 400 or 415 to requests that worked before, beginning with
# the one after the first compressed request. The error looks like one of the server.
#
# Workaround: pass a copy, `headers=dict(headers)`. A server does well to ignore the coding of a body that is empty.
#
# Seen with tritonclient 2.73.0, CPython 3.11, Linux x86-64 (headers that a server received):
#   infer, gzip: Content-Encoding gzip, Inference-Header-Content-Length present
#   get_server_metadata: Content-Encoding gzip, Inference-Header-Content-Length present
#   infer, not compressed, JSON: Content-Encoding gzip, Inference-Header-Content-Length present
#   dictionary of the caller: Content-Encoding, Inference-Header-Content-Length, X-Key
#
# Exits 0 while this holds, 1 if the behavior has changed. Needs python3 (or PYTHON) and a package index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "tritonclient[http]==2.73.0"

cat > "$folder/headers.py" <<'PYTHON'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
from tritonclient import http

received = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def respond(self, answer):
        body = json.dumps(answer).encode()
        received.append(dict(self.headers))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.respond({"name": "server"})

    def do_POST(self):
        output = {"name": "y", "datatype": "FP32", "shape": [1], "data": [1.0]}
        self.respond({"model_name": "model", "outputs": [output]})

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = http.InferenceServerClient(f"127.0.0.1:{server.server_port}")
headers = {"X-Key": "key"}


def infer(*, binary, **options):
    tensor = http.InferInput("x", [2], "FP32")
    tensor.set_data_from_numpy(np.ones(2, np.float32), binary_data=binary)
    client.infer("model", [tensor], headers=headers, **options)


def describe(name, request):
    length = "present" if "Inference-Header-Content-Length" in request else "absent"
    return f"{name}: Content-Encoding {request.get('Content-Encoding')}, Inference-Header-Content-Length {length}"


infer(binary=True, request_compression_algorithm="gzip")
client.get_server_metadata(headers=headers)
infer(binary=False)
names = ("infer, gzip", "get_server_metadata", "infer, not compressed, JSON")
seen = [describe(name, request) for name, request in zip(names, received, strict=True)]
seen.append(f"dictionary of the caller: {', '.join(sorted(headers))}")
print("\n".join(seen))
both = "Content-Encoding gzip, Inference-Header-Content-Length present"
expected = [*(f"{name}: {both}" for name in names)]
expected.append("dictionary of the caller: Content-Encoding, Inference-Header-Content-Length, X-Key")
client.close()
sys.exit(seen != expected)
PYTHON

"$folder/venv/bin/python" "$folder/headers.py"
