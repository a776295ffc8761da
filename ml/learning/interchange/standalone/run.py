"""Predicts with the ONNX graphs of this folder.

    python run.py request.json         the body of POST /predict: {"inputs": [...], "parameters": {...}}
    python run.py one.png two.png      or one file for each input: images, audio clips, texts

Prints {"outputs": [...]}, one for each input, in order. README.md lists the packages to install.
"""

from __future__ import annotations

import base64
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from ml.errors import InputError
from ml.inference.cpu_features import saturates
from ml.metrics.calibration import CONFORMAL, Calibration, add_label_sets, check_coverage
from ml.preprocessing.long_texts import join_windows

FOLDER: Final = Path(__file__).resolve().parent
FORMAT_VERSION: Final = 2


class Model:
    """The graphs of a folder, and `metadata`, the content of its `preprocessing.json`."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Load the graphs; raises `ValueError` if `preprocessing.json` has another format version."""
        self.metadata: dict[str, Any] = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
        if self.metadata.get("format_version") != FORMAT_VERSION:
            version = self.metadata.get("format_version")
            raise ValueError(
                f"preprocessing.json has format_version {version}, and run.py reads {FORMAT_VERSION}: "
                "use the run.py of the same export"
            )
        self._folder = folder
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # 8-bit graphs then compute the same on every processor.
        options.add_session_config_entry("session.x64quantprecision", str(int(saturates())))
        self._sessions = {
            name: [
                onnxruntime.InferenceSession(str(folder / file), options, providers=["CPUExecutionProvider"])
                for file in graph["files"]
            ]
            for name, graph in self.metadata["graphs"].items()
        }

    @property
    def postprocessor(self) -> Any:
        """Module that makes predictions of the outputs of the graphs."""
        return import_module(f"postprocess.{self.metadata['postprocessor']}")

    def preprocessor(self, slot: str) -> Any:
        """Return the module that encodes the inputs of a slot as arrays."""
        return import_module(f"preprocess.{self.metadata['inputs'][slot]['encoder']}")

    def encoder(self, name: str) -> dict[str, Any]:
        """Return name, config and folder of the encoder of a slot or a target."""
        encoder: dict[str, Any] = {**self.metadata["targets"], **self.metadata["inputs"]}[name]
        return encoder

    def task_file(self, name: str) -> Path | None:
        """Return the path of a file that the task stores; None without it."""
        path = self._folder / "task" / name
        return path if path.exists() else None

    def folder(self, name: str) -> Path:
        """Return the folder with the files of an encoder, such as its tokenizer."""
        return self._folder / str(self.encoder(name)["folder"])

    def encode(self, slot: str, inputs: list[dict[str, Any]]) -> dict[str, np.ndarray]:
        """Encode the inputs of a slot.

        Returns its signal as `{slot}`, and `{slot}_mask` if it is padded.
        """
        arrays = self.preprocessor(slot).encode(inputs, self.encoder(slot)["config"], self.folder(slot))
        names = {"signal": slot, "mask": f"{slot}_mask"}
        return {names[name]: array for name, array in arrays.items()}

    def truncation(self, slot: str, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return by input the fields of its output that say how its text was read.

        There are none for other inputs, and for a text that was read whole at once.
        """
        module = self.preprocessor(slot)
        if not hasattr(module, "truncation"):
            return [{} for _ in inputs]
        fields: list[dict[str, Any]] = module.truncation(inputs, self.encoder(slot)["config"], self.folder(slot))
        return fields

    def run(self, graph: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return all outputs of a graph.

        Its files are run one after the other; arrays that it does not read are ignored.
        """
        outputs: dict[str, np.ndarray] = {}
        for session in self._sessions[graph]:
            names = [output.name for output in session.get_outputs()]
            feed = {tensor.name: {**arrays, **outputs}[tensor.name] for tensor in session.get_inputs()}
            outputs |= dict(zip(names, session.run(names, feed), strict=True))
        return outputs

    def predict(self, inputs: list[dict[str, Any]], parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return one prediction for each input, in order.

        `parameters` are fields of all inputs; those of an input take precedence.
        """
        fields = dict(parameters or {})
        coverage = check_coverage(fields.pop(CONFORMAL)) if self._is_classifier and CONFORMAL in fields else None
        complete = [{**self.metadata["default_parameters"], **fields, **raw_input} for raw_input in inputs]
        rows = [row for raw_input in complete for row in self._split(raw_input)]
        batch_size = self.metadata["max_batch_size"] or max(1, len(rows))
        outputs: list[dict[str, Any]] = []
        for start in range(0, len(rows), batch_size):
            outputs += self.postprocessor.predict(rows[start : start + batch_size], self)
        outputs = join_windows(outputs) if len(rows) > len(complete) else outputs
        if coverage is None:
            return outputs
        return add_label_sets(outputs, Calibration.of_state(self.metadata["task"]["state"]), coverage)

    @property
    def _is_classifier(self) -> bool:
        return self.metadata["postprocessor"] in ("classification", "multimodal")

    def _split(self, raw_input: dict[str, Any]) -> list[dict[str, Any]]:
        """Return an input for each window of its text, or the input itself."""
        slot = next(iter(self.metadata["inputs"]))
        module = self.preprocessor(slot)
        if raw_input.get("long_texts") != "windows" or not hasattr(module, "split"):
            return [raw_input]
        windows: list[dict[str, Any]] = module.split(raw_input, self.encoder(slot)["config"], self.folder(slot))
        return windows

    def read_file(self, path: Path) -> dict[str, Any]:
        """Return the input that a file is."""
        encoder_field = self.preprocessor(next(iter(self.metadata["inputs"]))).FIELD
        field = getattr(self.postprocessor, "FIELD", encoder_field)
        data = path.read_bytes()
        return {field: data.decode().strip() if encoder_field == "text" else base64.b64encode(data).decode()}


def predict_files(paths: list[Path]) -> list[dict[str, Any]]:
    """Return the predictions for a JSON request, or for one file per input."""
    model = Model()
    if len(paths) > 1 or paths[0].suffix != ".json":
        return model.predict([model.read_file(path) for path in paths])
    try:
        request = json.loads(paths[0].read_bytes())
    except ValueError as error:
        sys.exit(f"{paths[0]} is not JSON: {error}")
    if not isinstance(request, dict) or not isinstance(request.get("inputs"), list):
        sys.exit(f'{paths[0]} is not a request; it must be {{"inputs": [{{...}}]}}')
    return model.predict(request["inputs"], request.get("parameters"))


def main(arguments: list[str]) -> None:
    """Print the predictions for the files on the command line."""
    if not arguments:
        sys.exit(__doc__)
    try:
        outputs = predict_files([Path(argument) for argument in arguments])
    except ModuleNotFoundError as error:
        sys.exit(f"the package {error.name} is not installed; see README.md for the packages to install")
    except KeyError as error:
        sys.exit(f"an input has no field {error}, or a value in it that the model does not know")
    except InputError as error:
        sys.exit(" ".join(filter(None, [f"an input cannot be read: {error.message}.", error.hint])))
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    json.dump({"outputs": outputs}, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(sys.argv[1:])
