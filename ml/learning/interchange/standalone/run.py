"""Answers as the service does that this folder comes from, by ONNX Runtime alone.

    python run.py request.json         the body of POST /predict: {"inputs": [...], "parameters": {...}}
    python run.py one.png two.png      or each input as a file of its own: pictures, recordings, texts

Prints {"outputs": [...]}, one for each input, in order. README.md says what has to be installed.
"""

from __future__ import annotations

import base64
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ml.inference.cpu_features import saturates

HERE = Path(__file__).resolve().parent
WITH = ("ml.inference.cpu_features",)


class Model:
    """The graphs of this folder, and how `preprocessing.json` says that they are asked."""

    def __init__(self, folder: Path = HERE) -> None:
        self.told: dict[str, Any] = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
        self._folder = folder
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # A graph in 8 bits answers alike on every processor.
        options.add_session_config_entry("session.x64quantprecision", str(int(saturates())))
        self._sessions = {
            name: [
                onnxruntime.InferenceSession(str(folder / file), options, providers=["CPUExecutionProvider"])
                for file in graph["files"]
            ]
            for name, graph in self.told["graphs"].items()
        }

    @property
    def answers(self) -> Any:
        """The module that makes answers of what the graphs give."""
        return import_module(f"answers.{self.told['answers']}")

    def reader(self, slot: str) -> Any:
        """The module that makes arrays of the inputs of a slot."""
        return import_module(f"readers.{self.told['inputs'][slot]['reader']}")

    def read(self, slot: str, inputs: list[dict[str, Any]]) -> dict[str, np.ndarray]:
        """The signal of a slot under its name, and its mask under `{slot}_mask` where lengths differ."""
        about = self.told["inputs"][slot]
        found = self.reader(slot).read(inputs, about, self.folder(about))
        names = {"signal": slot, "mask": f"{slot}_mask"}
        return {names[name]: array for name, array in found.items()}

    def folder(self, about: dict[str, Any]) -> Path:
        """Where the files of an input lie: a tokenizer, a list of items."""
        return self._folder / str(about["folder"])

    def run(self, graph: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of a graph, whose files are run one after the other; of the arrays it takes those it reads."""
        found: dict[str, np.ndarray] = {}
        for session in self._sessions[graph]:
            names = [each.name for each in session.get_outputs()]
            fed = {each.name: {**arrays, **found}[each.name] for each in session.get_inputs()}
            found |= dict(zip(names, session.run(names, fed), strict=True))
        return found

    def answer(self, inputs: list[dict[str, Any]], parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """One answer for each input, in order; `parameters` are fields of each."""
        whole = [{**self.told["parameters"], **(parameters or {}), **each} for each in inputs]
        rows = self.told["rows_a_call"] or max(1, len(whole))
        found: list[dict[str, Any]] = []
        for start in range(0, len(whole), rows):
            found += self.answers.answer(whole[start : start + rows], self)
        return found

    def of_file(self, path: Path) -> dict[str, Any]:
        """A file as the input it is."""
        read_as = self.reader(next(iter(self.told["inputs"]))).FIELD
        field = getattr(self.answers, "FIELD", read_as)
        data = path.read_bytes()
        return {field: data.decode().strip() if read_as == "text" else base64.b64encode(data).decode()}


def answered(paths: list[Path]) -> list[dict[str, Any]]:
    """The answers to a request, or to files that are an input each."""
    model = Model()
    if len(paths) > 1 or paths[0].suffix != ".json":
        return model.answer([model.of_file(path) for path in paths])
    try:
        asked = json.loads(paths[0].read_bytes())
    except ValueError as error:
        sys.exit(f"{paths[0]} is not JSON: {error}")
    if not isinstance(asked, dict) or not isinstance(asked.get("inputs"), list):
        sys.exit(f'{paths[0]} is no request: {{"inputs": [{{...}}]}}')
    return model.answer(asked["inputs"], asked.get("parameters"))


def main(arguments: list[str]) -> None:
    """Answer what was asked on the command line."""
    if not arguments:
        sys.exit(__doc__)
    try:
        outputs = answered([Path(each) for each in arguments])
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed; README.md says what has to be.")
    except KeyError as error:
        sys.exit(f"an input lacks {error}, or has a value that the model does not know")
    except OSError as error:
        sys.exit(str(error))
    json.dump({"outputs": outputs}, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(sys.argv[1:])
