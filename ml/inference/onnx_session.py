"""Graph files, opened by ONNX Runtime: each once, however many of the models in memory have it.

Fine-tunes of one frozen backbone are told apart by their heads alone. Their first file is the same to the byte, so it
is opened for the first of them, and leaves memory with the last.
"""

from __future__ import annotations

import os
import time
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from ml.errors import PackageError
from ml.inference.batch_planning import CallCost
from ml.inference.cpu_features import saturates
from ml.inference.onnx_weights import by_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ml.signals import Arrays


class Session:
    """A graph that can be run. Calls of several threads may overlap."""

    def __init__(self, path: Path) -> None:
        """Raises `PackageError` where it cannot be run."""
        # Half of what this module costs to import, and only needed here.
        import onnxruntime

        _share_memory()
        options = onnxruntime.SessionOptions()
        # One thread a model: several would fight for the cores, and spinning threads burn them while nothing is asked.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Not the weights: where room has to grow for each of them, opening a file takes half as long again.
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A graph in 8 bits that was judged on one processor answers alike on another.
        options.add_session_config_entry("session.x64quantprecision", str(int(saturates())))
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
        options.log_severity_level = 3
        try:
            model = by_reference(path) or str(path)
            self._session = onnxruntime.InferenceSession(model, options, providers=_providers())
        except PackageError:
            raise
        except Exception as error:  # its exceptions have no common base that is public
            raise PackageError(f"{path.name} is no graph that can be run: {str(error).splitlines()[0]}") from error
        self.reads = tuple(each.name for each in self._session.get_inputs())
        self.gives = tuple(each.name for each in self._session.get_outputs())
        self.cost = CallCost()
        """Learned by all who call it."""

    def run(self, batch: Arrays) -> Arrays:
        """What it gives; what it does not read may be in the batch, too."""
        found = self._session.run(self.gives, {name: batch[name] for name in self.reads})
        return dict(zip(self.gives, found, strict=True))


@cache
def _share_memory() -> None:
    """One place where all sessions take what they need during a call; it keeps what the largest took.

    Each by itself would keep as much, for as long as it is open: three small BERTs 470 MB beside their weights.
    """
    import onnxruntime

    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    place = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    # Without a limit, and growing by what is asked for instead of doubling.
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(0, 1, -1, -1))


def _providers() -> list[str | tuple[str, dict[str, str]]]:
    """What runs the nodes, the first that can: as PLINTH_PREDICT_DEVICE asks, `cpu`, `cuda` or `cuda:N`."""
    import onnxruntime

    asked = os.environ.get("PLINTH_PREDICT_DEVICE") or "cpu"
    kind, _, number = asked.partition(":")
    if asked == "cpu":
        return ["CPUExecutionProvider"]
    if kind != "cuda" or not (number or "0").isdecimal():
        raise PackageError(f"there is no device {asked!r}", hint="Set PLINTH_PREDICT_DEVICE to cpu, cuda or cuda:N.")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        message = f"PLINTH_PREDICT_DEVICE is {asked!r}, and this build of ONNX Runtime knows no GPU"
        raise PackageError(message, hint="Install onnxruntime-gpu in place of onnxruntime, or set it to cpu.")
    return [("CUDAExecutionProvider", {"device_id": number or "0"}), "CPUExecutionProvider"]


def spent_seconds() -> float:
    """A clock for what calls cost this thread: the processor's time, since whatever else runs here would count, too.

    Of a GPU it is the time that passes: the processor only waits for it.
    """
    return time.perf_counter() if os.environ.get("PLINTH_PREDICT_DEVICE", "").startswith("cuda") else time.thread_time()


class OnnxGraphs:
    """Graphs by name, as a `Run`: each a session, or a trunk and then a head that reads what the trunk gives, too."""

    def __init__(self, opened: Mapping[str, Sequence[Session]]) -> None:
        """One session or two for each graph, in the order in which they run."""
        self._last = {graph: sessions[-1] for graph, sessions in opened.items()}
        self.trunks = {graph: sessions[0] for graph, sessions in opened.items() if len(sessions) > 1}
        """By graph, where it has one."""

    def __call__(self, graph: str, batch: Arrays) -> Arrays:
        """A trunk whose features are in the batch already is not run again."""
        trunk = self.trunks.get(graph)
        if trunk is None:
            return self._last[graph].run(batch)
        features = trunk.run(batch) if trunk.gives[0] not in batch else {name: batch[name] for name in trunk.gives}
        return {**features, **self._last[graph].run({**batch, **features})}


class _Turn:
    """Who opens a file lets others wait who want the same."""

    def __init__(self) -> None:
        self.lock = Lock()


_open: WeakValueDictionary[str, Session] = WeakValueDictionary()
_turns: WeakValueDictionary[str, _Turn] = WeakValueDictionary()
_guard = Lock()


def open_once(sha256: str, path: Callable[[], Path]) -> Session:
    """The session of a file of this checksum: another model's, if there is one, and then the file is not looked at.

    Raises `PackageError`, and what `path` raises.
    """
    with _guard:
        turn = _turns.get(sha256)
        if turn is None:
            turn = _turns[sha256] = _Turn()
    with turn.lock:
        session = _open.get(sha256)
        if session is None:
            session = _open[sha256] = Session(path())
        return session
