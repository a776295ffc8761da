"""ONNX Runtime sessions, shared by all models in memory that contain the same graph file.

Fine-tunes of one frozen backbone differ only in their heads. The file of the backbone is the same to the byte, so it is
opened for the first of them, and freed with the last.
"""

from __future__ import annotations

import time
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from ml.errors import PackageError
from ml.inference.batch_planning import CallCost
from ml.inference.cpu_features import saturates
from ml.inference.onnx_weights import reference_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ml.signals import Arrays


class Session:
    """A graph that can be run. Thread-safe."""

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        """Open a graph file on a device: `cpu`, `cuda` or `cuda:N`.

        Raises `PackageError` where it cannot be run.
        """
        # Half of the import time of this module, and only needed here.
        import onnxruntime

        _share_memory()
        options = onnxruntime.SessionOptions()
        # One thread per model: more would compete for the cores, and spinning threads use them while idle.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Not for the weights: growing the arena for each of them makes opening a file 50% slower.
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # An 8-bit graph that was accepted on one processor must give the same outputs on another.
        options.add_session_config_entry("session.x64quantprecision", str(int(saturates())))
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
        options.log_severity_level = 3
        try:
            model = reference_weights(path) or str(path)
            self._session = onnxruntime.InferenceSession(model, options, providers=_providers(device))
        except PackageError:
            raise
        except Exception as error:  # its exceptions have no common base that is public
            message = f"{path.name} is not a runnable graph: {str(error).splitlines()[0]}"
            raise PackageError(message, hint="Export or import the model again.") from error
        self.inputs = tuple(node.name for node in self._session.get_inputs())
        self.outputs = tuple(node.name for node in self._session.get_outputs())
        #: Fitted to the calls of all models that share the session.
        self.cost = CallCost()

    def run(self, batch: Arrays) -> Arrays:
        """Run the graph; arrays of the batch that it does not read are ignored."""
        arrays = self._session.run(self.outputs, {name: batch[name] for name in self.inputs})
        return dict(zip(self.outputs, arrays, strict=True))


@cache
def _share_memory() -> None:
    """Let all sessions allocate from one arena, which keeps the memory of the largest call.

    Otherwise every open session keeps as much for itself: three small BERTs 470 MB in addition to their weights.
    """
    import onnxruntime

    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    # Without a limit, and growing by the requested size instead of doubling.
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(0, 1, -1, -1))


def _providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    """Return the execution providers for a device, in order of preference."""
    import onnxruntime

    kind, _, number = device.partition(":")
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if kind != "cuda" or not (number or "0").isdecimal():
        raise PackageError(f"there is no device {device!r}", hint="Set PLINTH_PREDICT_DEVICE to cpu, cuda or cuda:N.")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        message = f"the device is {device!r}, but this build of ONNX Runtime does not support GPUs"
        raise PackageError(
            message, hint="Install onnxruntime-gpu in place of onnxruntime, or set PLINTH_PREDICT_DEVICE to cpu."
        )
    return [("CUDAExecutionProvider", {"device_id": number or "0"}), "CPUExecutionProvider"]


def spent_seconds(device: str) -> float:
    """Return a clock for the cost of calls.

    It is CPU time of this thread, which other processes do not affect. For a GPU it is wall-clock time, as the
    processor only waits for it.
    """
    return time.perf_counter() if device.startswith("cuda") else time.thread_time()


class OnnxGraphs:
    """Graphs by name, as a `Run`.

    Each is one session, or a trunk and a head that also reads the outputs of the trunk.
    """

    def __init__(self, sessions_of: Mapping[str, Sequence[Session]]) -> None:
        """`sessions_of` has one or two sessions per graph, in running order."""
        self._heads = {graph: sessions[-1] for graph, sessions in sessions_of.items()}
        #: Trunks of the graphs that have one.
        self.trunks = {graph: sessions[0] for graph, sessions in sessions_of.items() if len(sessions) > 1}

    def __call__(self, graph: str, batch: Arrays) -> Arrays:
        """Run a graph, except for a trunk whose outputs are in the batch."""
        head, trunk = self._heads[graph], self.trunks.get(graph)
        if trunk is None:
            return head.run(batch)
        is_run = trunk.outputs[0] in batch
        features = {name: batch[name] for name in trunk.outputs} if is_run else trunk.run(batch)
        return {**features, **head.run({**batch, **features})}


class _FileLock:
    """A lock per file, so that threads that need the same file open it once."""

    def __init__(self) -> None:
        self.lock = Lock()


_sessions: WeakValueDictionary[tuple[str, str], Session] = WeakValueDictionary()
_file_locks: WeakValueDictionary[tuple[str, str], _FileLock] = WeakValueDictionary()
_guard = Lock()


def open_once(sha256: str, path: Callable[[], Path], *, device: str = "cpu") -> Session:
    """Return the session of the file with this checksum on a device.

    Models that contain the same file share its session. `path` is called only where the file must be opened. Raises
    `PackageError`, and what `path` raises.
    """
    key = (sha256, device)
    with _guard:
        file_lock = _file_locks.get(key)
        if file_lock is None:
            file_lock = _file_locks[key] = _FileLock()
    with file_lock.lock:
        session = _sessions.get(key)
        if session is None:
            session = _sessions[key] = Session(path(), device=device)
        return session
