#!/usr/bin/env bash
# langchain-huggingface 1.2.3: an endpoint of one's own gets no key, and its embeddings take no address.
#
# Surprise: `HuggingFaceEndpoint(endpoint_url=..., huggingfacehub_api_token="secret")` sends requests without an
# Authorization header, though the token is an argument of the call, not picked up from the environment:
# for a host outside of huggingface.co it is dropped, with no warning. `HuggingFaceEndpointEmbeddings(model=...)`
# refuses an address ("must be a HuggingFace repo ID, not a URL") and replaces a `client` that is passed to it, although
# it is the class for text-embeddings-inference, which one runs at an address of one's own.
#
# Why it matters: the endpoint answers 401, as if the key were wrong, and code that is unchanged and worked with earlier
# versions of the package fails.
#
# Workaround: pass the key as a header, `server_kwargs={"headers": {"Authorization": "Bearer ..."}}`; set the client of
# embeddings after they are made: `embeddings.client = InferenceClient(address, token=...)`.
#
# Seen with langchain-huggingface 1.2.3, huggingface_hub 1.33.0, CPython 3.11, Linux x86-64:
#   token as argument: no Authorization
#   header in server_kwargs: Bearer secret
#   embeddings of an address: ValidationError
#   embeddings with a client as argument: client replaced
#   embeddings whose client is set later: Bearer secret
#
# Exits 0 while this holds, 1 if the behavior has changed. Needs python3 (or PYTHON) and a package index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  "langchain-huggingface==1.2.3" "huggingface_hub==1.33.0" "numpy<3"

cat > "$folder/endpoints.py" <<'PYTHON'
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

for name in ("HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN"):
    os.environ.pop(name, None)

from huggingface_hub import InferenceClient
from langchain_huggingface import HuggingFaceEndpoint, HuggingFaceEndpointEmbeddings

SECRET = "secret"
keys = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        keys.append(self.headers.get("Authorization", "no Authorization"))
        is_text = isinstance(request["inputs"], str)
        body = json.dumps([{"generated_text": "a reply"}] if is_text else [[0.0, 1.0]]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}"


def token_as_argument():
    HuggingFaceEndpoint(endpoint_url=address, huggingfacehub_api_token=SECRET).invoke("prompt")
    return keys[-1]


def header():
    headers = {"Authorization": f"Bearer {SECRET}"}
    HuggingFaceEndpoint(endpoint_url=address, server_kwargs={"headers": headers}).invoke("prompt")
    return keys[-1]


def embeddings_of_an_address():
    HuggingFaceEndpointEmbeddings(model=address, huggingfacehub_api_token=SECRET)
    return "accepted"


def client_as_argument():
    client = InferenceClient(address, token=SECRET)
    embeddings = HuggingFaceEndpointEmbeddings(client=client)
    return "client kept" if embeddings.client is client else "client replaced"


def client_set_later():
    embeddings = HuggingFaceEndpointEmbeddings()
    embeddings.client = InferenceClient(address, token=SECRET)
    embeddings.embed_documents(["a text"])
    return keys[-1]


def describe(name, call):
    try:
        return f"{name}: {call()}"
    except Exception as error:
        return f"{name}: {type(error).__name__}"


seen = [
    describe("token as argument", token_as_argument),
    describe("header in server_kwargs", header),
    describe("embeddings of an address", embeddings_of_an_address),
    describe("embeddings with a client as argument", client_as_argument),
    describe("embeddings whose client is set later", client_set_later),
]
print("\n".join(seen))
expected = [
    "token as argument: no Authorization",
    "header in server_kwargs: Bearer secret",
    "embeddings of an address: ValidationError",
    "embeddings with a client as argument: client replaced",
    "embeddings whose client is set later: Bearer secret",
]
sys.exit(seen != expected)
PYTHON

"$folder/venv/bin/python" -W ignore "$folder/endpoints.py"
