"""CPU time of a request beside the servers that these protocols come from, in turns.

Each peer is installed in an environment of its own, and answers on the same core. MLflow and MLServer run the graph of
the small CNN; LitServe answers one fixed vector, so that its figure is what the server alone takes.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.serving import images, load, protocols
from benchmarks.serving.load import SERVER_CORE
from benchmarks.serving.service import Call, Figure, Service
from tests.support.client_packages import environment_of

ROUNDS: Final = 5
TURN_SECONDS: Final = 2
START_SECONDS: Final = 120.0
#: Numbers of the vector that LitServe answers.
WIDTH: Final = 8
LITSERVE: Final = """
import sys
import litserve
from litserve.specs.openai_embedding import OpenAIEmbeddingSpec

class Fixed(litserve.LitAPI):
    def setup(self, device):
        pass
    def predict(self, inputs):
        return [[0.5] * int(sys.argv[2]) for _ in ([inputs] if isinstance(inputs, str) else inputs)]

if __name__ == "__main__":
    server = litserve.LitServer(Fixed(spec=OpenAIEmbeddingSpec()), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
"""
MLFLOW: Final = """
import sys
import mlflow.pyfunc
import numpy as np

class Small(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(context.artifacts["graph"], options)
    def predict(self, context, model_input, params=None):
        pixels = np.asarray(model_input["pixels"], np.float32).reshape(-1, 1, 28, 28) / 255
        return self.session.run(["logits"], {"image": pixels})[0].argmax(axis=1).tolist()

if __name__ == "__main__":
    mlflow.pyfunc.save_model(sys.argv[2], python_model=Small(), artifacts={"graph": sys.argv[1]}, pip_requirements=[])
"""
MLSERVER: Final = """
import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

class Small(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        return True
    async def predict(self, payload):
        pixels = NumpyCodec.decode_input(payload.inputs[0]).reshape(-1, 1, 28, 28).astype(np.float32) / 255
        label = self.session.run(["logits"], {"image": pixels})[0].argmax(axis=1)
        outputs = [NumpyCodec.encode_output("label", label)]
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=outputs)
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server in an environment of its own, and the request that both servers answer."""

    name: str
    pins: Sequence[str]
    call: Call
    #: Path of the same request to the peer.
    path: str
    #: Arguments of its Python, with the port as `{port}`.
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Arguments of its Python that are run once before.
    preparation: Sequence[str] = ()


def measure(service: Service) -> Iterable[Figure]:
    """Measure one peer after another, in turns with the service."""
    from tests.support.ml import packages

    small = images.small_network(service.folder / "pictures")
    service.register(small, name="small")
    service.register(packages.make_untrained("text_classification", service.folder / "texts").directory, name="texts")
    for peer in peers(service.folder, small / "model.onnx"):
        with running(peer, service.folder) as (port, pid):
            ours, theirs = [], []
            for turn in range(ROUNDS):
                ours.append(service.cpu_ms(peer.call, connections=service.connections, is_warm=turn > 0))
                theirs.append(peer_cpu_ms(peer, port, pid, connections=service.connections))
        ratios = [slow / fast for slow, fast in zip(theirs, ours, strict=True)]
        note = f"{median(theirs):.2f} and {median(ours):.3f} CPU-ms; {', '.join(peer.pins)}"
        yield Figure.ratio(f"{peer.name}, CPU time of ours", ratios, aim=">= 5", note=note)


def peers(folder: Path, graph: Path) -> list[Peer]:
    """Write the programs of the peers."""
    for name, program in (
        ("litserve_server.py", LITSERVE),
        ("mlflow_model.py", MLFLOW),
        ("mlserver_model.py", MLSERVER),
    ):
        (folder / name).write_text(program)
    pixels = {call.name: call for call in protocols.pixel_calls()}
    (embeddings,) = (call for call in protocols.embedding_calls("texts") if call.path == "/v1/embeddings")
    model = {"name": "small", "implementation": "mlserver_model.Small", "parameters": {"uri": str(graph)}}
    # Its own pool of processes would only add to its work.
    settings = {"parallel_workers": "0", "host": "127.0.0.1", "debug": "false"}
    (folder / "model-settings.json").write_text(json.dumps(model))
    return [
        Peer(
            "LitServe's OpenAI embeddings, without a model",
            ("litserve==0.2.19",),
            embeddings,
            "/v1/embeddings",
            (str(folder / "litserve_server.py"), "{port}", str(WIDTH)),
        ),
        Peer(
            "MLflow's scoring server",
            ("mlflow==3.17.2", "onnxruntime==1.32.0"),
            pixels["SageMaker"],
            "/invocations",
            ("-m", "uvicorn", "mlflow.pyfunc.scoring_server.app:app", "--port", "{port}", "--log-level", "warning"),
            {"__pyfunc_model_path__": str(folder / "mlflow_model")},
            (str(folder / "mlflow_model.py"), str(graph), str(folder / "mlflow_model")),
        ),
        Peer(
            "MLServer's inference protocol",
            ("mlserver==1.7.1", "onnxruntime==1.32.0"),
            pixels["Open Inference Protocol, JSON"],
            "/v2/models/small/infer",
            ("-c", "from mlserver.cli import main; main()", "start", str(folder)),
            {f"MLSERVER_{name.upper()}": value for name, value in settings.items()},
        ),
    ]


@contextmanager
def running(peer: Peer, folder: Path) -> Iterator[tuple[int, int]]:
    """Port and process of a peer for as long as the context lasts."""
    python = environment_of(peer.pins)
    with socket.create_server(("127.0.0.1", 0)) as probe, socket.create_server(("127.0.0.1", 0)) as second_probe:
        port, second_port = probe.getsockname()[1], second_probe.getsockname()[1]
    ports = {"MLSERVER_HTTP_PORT": str(port), "MLSERVER_GRPC_PORT": str(second_port)}
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", **peer.environment, **ports}
    if peer.preparation:
        subprocess.run([python, *peer.preparation], env=environment, cwd=folder, check=True, capture_output=True)
    command = [argument.format(port=port) if argument == "{port}" else argument for argument in peer.command]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, python, *command],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_until_answered(peer, port, process)
            yield port, process.pid
        except (RuntimeError, AssertionError) as error:
            log.seek(0)
            error.add_note(log.read().decode(errors="replace")[-3000:])
            raise
        finally:
            end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a peer and the processes that it has started, which LitServe leaves behind."""
    process.terminate()
    process.wait(30)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def wait_until_answered(peer: Peer, port: int, process: subprocess.Popen[bytes]) -> None:
    """Return once a request is answered; raises `RuntimeError` where none is in time."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", peer.path, peer.call.bodies[0], {"Content-Type": peer.call.content_type})
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.5)
    raise RuntimeError(f"{peer.name} timed out")


def peer_cpu_ms(peer: Peer, port: int, pid: int, *, connections: int) -> float:
    """CPU milliseconds of the peer per request."""
    headers = {"Content-Type": peer.call.content_type, "Host": f"127.0.0.1:{port}"}
    result = load.drive(port, pid, peer.path, peer.call.bodies, headers, seconds=TURN_SECONDS, connections=connections)
    assert result.requests, f"{peer.name} answered nothing"
    assert not result.failed, f"{peer.name}: {result.failed} of {result.requests} failed"
    return 1000 / result.per_cpu_second
