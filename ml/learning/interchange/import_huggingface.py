"""Import of a Hugging Face folder: weights, tokenizer, and labels in their order."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import torch

from ml.config import Choice
from ml.data.rows import Rows
from ml.errors import PackageError
from ml.learning.export.packaging import pack
from ml.learning.interchange.families import FAMILIES
from ml.learning.interchange.model_archive import read_json
from ml.learning.interchange.pretrained_config import check_settings
from ml.learning.interchange.sentence_modules import module_configs
from ml.learning.nn.heads import HEADS
from ml.learning.nn.network import build
from ml.learning.training.unlabeled import Unlabeled
from ml.package.manifest import Provenance
from ml.package.package import check_weights
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from ml.encoders.base import Encoder
    from ml.learning.interchange.families.base import Family, ImportedModel
    from ml.learning.interchange.model_archive import ModelArchive
    from ml.learning.nn.network import Network
    from ml.package.manifest import Manifest
    from ml.tasks.base import Task

CONFIG: Final = "config.json"
INDEX: Final = "model.safetensors.index.json"
SINGLE: Final = "model.safetensors"
#: Number of labels that the transformers library assumes.
DEFAULT_LABELS: Final = 2
MAX_LABELS: Final = 50_000
MAX_LISTED_FILES: Final = 5
#: Largest difference of outputs relative to the largest output: float32 sums in another order.
TOLERANCE: Final = 1e-4
#: Heads whose outputs have names.
LABELED_HEADS: Final = frozenset({"classifier"})
#: Values of `problem_type` of heads that do not choose one class.
UNSUPPORTED_PROBLEMS: Final = frozenset({"regression", "multi_label_classification"})


def read_folder(
    archive: ModelArchive, folder: Path, into: Path, *, task: str | None, on_phase: Callable[[str], None]
) -> dict[str, Any]:
    """Write a package to `into` from an archive with a `config.json`; returns the report.

    The files are extracted to `folder`. Raises `PackageError`.
    """
    on_phase("unpacking")
    archive.extract([CONFIG], folder)
    config = read_json(folder / CONFIG)
    family = _find_family(config)
    companions = {name for name in family.files if name in archive.names} - {CONFIG}
    names = {*_weight_files(archive, folder), *companions}
    archive.extract(names, folder)
    module_files = {name for name in module_configs(folder) if name in archive.names} - names
    archive.extract(module_files, folder)
    names |= module_files
    for name in names:
        if name.endswith(".safetensors"):
            check_weights(folder / name)
    on_phase("reading")
    settings_notes = check_settings(config)
    labels, label_notes = read_labels(config)
    task_name, notes = _detect_task(config, family, labels, requested_task=task)
    imported = family.read(folder, config, task=task_name)
    notes += [*label_notes, *settings_notes, *imported.notes, *_ignored_files(archive, names)]
    on_phase("exporting")
    source = Provenance(imported={"format": "huggingface", "model_type": config["model_type"]})
    manifest, transferred, difference = _write_package(
        family, imported, into, task_name=task_name, labels=labels, source=source
    )
    on_phase("checking")
    if manifest.no_graph_reason:
        notes.append(f"no ONNX graph, so it is served with PyTorch: {manifest.no_graph_reason}")
    return {
        "format": "huggingface",
        "task": task_name,
        "architecture": imported.architecture.name,
        "parameters": manifest.parameters,
        "transfer": {"loaded": transferred, "new": [], "dropped": imported.dropped},
        "labels": manifest.labels,
        "max_abs_difference": difference,
        "graphs": {name: graph.parity.model_dump() for name, graph in manifest.graphs.items() if graph.parity},
        "notes": notes,
    }


def _write_package(
    family: type[Family],
    imported: ImportedModel,
    into: Path,
    *,
    task_name: str | None,
    labels: list[str],
    source: Provenance,
) -> tuple[Manifest, list[str], float]:
    """Return the manifest, the names of all tensors, and the difference from the library."""
    slot = family.slot
    encoders: dict[str, Encoder[Any]] = {slot: imported.encoder}
    architectures = {slot: imported.architecture}
    task, head = _build_task(task_name, encoders, labels, imported) if task_name else (None, None)
    network = build(architectures, shapes={slot: imported.encoder.shape()}, head=head)
    tensors = {f"backbones.{slot}.{name}": tensor for name, tensor in imported.backbone.items()}
    if task is not None:
        task.bind_widths(network.widths)
        tensors |= {f"head.{name}": tensor for name, tensor in imported.head.items()}
    _load_tensors(network, tensors)
    difference = compare_outputs(family, imported.pretrained, network.eval(), imported.architecture, imported.encoder)
    package = pack(
        network,
        into,
        architectures=architectures,
        encoders=encoders,
        task=task,
        head=head,
        reader=task or Unlabeled(encoders),
        rows=Rows({slot: family.examples()}),
        source=source,
    )
    return package.manifest, sorted(tensors), difference


def compare_outputs(
    family: type[Family], model: Any, network: Network, architecture: Choice, encoder: Encoder[Any]
) -> float:
    """Return the largest absolute difference of the outputs of `model` and network.

    `model` is that of the library. Raises `PackageError` if it is above the tolerance.
    """
    largest = 0.0
    for arrays in family.comparison_batches(encoder):
        with torch.no_grad():
            expected = _run_pretrained(family, model, arrays, architecture)
            outputs = network.infer(arrays)
        actual = outputs["embedding"] if network.head is None else outputs["logits"]
        difference = float((actual - expected).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
            sizes = " x ".join(map(str, arrays[family.slot].shape))
            raise PackageError(
                f"the outputs of the imported network differ from those of the transformers library by up to "
                f"{difference:g} (limit {TOLERANCE:g}) on an input of {sizes}",
                hint="config.json has a setting that is not supported. A classifier can also be sent as an ONNX file.",
            )
        largest = max(largest, difference)
    return largest


def _run_pretrained(family: type[Family], model: Any, arrays: Mapping[str, Tensor], architecture: Choice) -> Tensor:
    try:
        return family.predict_pretrained(model, arrays, architecture)
    except MemoryError:
        raise
    except Exception as error:  # the library raises exceptions of any class
        sizes = " x ".join(map(str, arrays[family.slot].shape))
        raise PackageError(
            f"the transformers library cannot run the model on an input of {sizes}: {str(error) or repr(error)}",
            hint="Check the settings of config.json with the library, and save the model again.",
        ) from error


def _load_tensors(network: Network, tensors: Mapping[str, Tensor]) -> None:
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise PackageError(
            f"the weights do not fit the network that {CONFIG} describes: {error}",
            hint="Send config.json and weights of the same model.",
        ) from error


def _find_family(config: Mapping[str, Any]) -> type[Family]:
    if config.get("auto_map"):
        raise PackageError(
            f"{CONFIG} requires its own code (auto_map), and code of a model is never run",
            hint="Send a model that the transformers library loads without trust_remote_code.",
        )
    if config.get("quantization_config"):
        raise PackageError(f"{CONFIG} describes quantized weights, which are not supported", hint="Send float weights.")
    families = {model_type: family for family in FAMILIES.values() for model_type in family.model_types}
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in families:
        raise PackageError(
            f"the model_type {model_type!r} of {CONFIG} is not supported; known: {', '.join(sorted(families))}",
            hint="A classifier can also be sent as an ONNX file.",
        )
    return families[model_type]


def _weight_files(archive: ModelArchive, folder: Path) -> list[str]:
    if SINGLE in archive.names:
        return [SINGLE]
    if INDEX in archive.names:
        archive.extract([INDEX], folder)
        weight_map = read_json(folder / INDEX).get("weight_map")
        shards = sorted({str(name) for name in weight_map.values()}) if isinstance(weight_map, dict) else []
        if missing := [name for name in shards if name not in archive.names or not name.endswith(".safetensors")]:
            raise PackageError(
                f"{INDEX} lists files that are not in the archive: {', '.join(missing[:MAX_LISTED_FILES])}",
                hint="Pack the whole folder.",
            )
        if shards:
            return shards
    raise PackageError(
        f"the folder has no weights: neither {SINGLE} nor {INDEX} with its shards",
        hint="`model.save_pretrained(folder)` writes them; a pickle (pytorch_model.bin) is never read.",
    )


def read_labels(config: Mapping[str, Any], *, use_default: bool = True) -> tuple[list[str], list[str]]:
    """Return the labels of a `config.json` in the order of their codes, and notes.

    That is the order of the weights. If it names none, returns the names that the transformers library generates, or
    none without `use_default`. Raises `PackageError`.
    """
    id2label, label2id = config.get("id2label"), config.get("label2id")
    if id2label is None and isinstance(label2id, dict) and label2id:
        by_code = {str(code): name for name, code in label2id.items()}
        labels = _order_labels(by_code if len(by_code) == len(label2id) else {})
        return labels, ["the labels are those of label2id, as config.json has no id2label"] if labels else []
    if id2label is None and not use_default:
        return [], []
    if id2label is None:
        # The library does not write the names that it generates itself.
        count = config.get("num_labels", DEFAULT_LABELS)
        return [f"LABEL_{code}" for code in range(count)] if isinstance(count, int) and count < MAX_LABELS else [], []
    labels = _order_labels(id2label)
    codes = label2id.items() if isinstance(label2id, dict) else ()
    for name, code in codes:
        if code in range(len(labels)) and labels[code] != name:
            note = (
                f"label2id and id2label of config.json differ: {code} is {name!r} and {labels[code]!r}; the labels are "
            )
            return labels, [f"{note}those of id2label, as in the transformers library"]
    return labels, []


def _order_labels(id2label: Any) -> list[str]:
    """Return names in the order of their codes, numbers as text; raises `PackageError`."""
    if not isinstance(id2label, dict) or not id2label:
        return []
    try:
        by_code = {int(code): str(label) for code, label in id2label.items()}
    except ValueError:
        raise PackageError("id2label must map numbers to names", hint='Write {"0": "cat", "1": "dog"}.') from None
    if sorted(by_code) != list(range(len(by_code))):
        raise PackageError(
            f"the {len(by_code)} codes of id2label must count from 0 without a gap", hint="Number all classes."
        )
    labels = [by_code[code] for code in range(len(by_code))]
    if len(set(labels)) < len(labels):
        raise PackageError("id2label has the same name twice", hint="Give every class its own name.")
    return labels


def _detect_task(
    config: Mapping[str, Any], family: type[Family], labels: list[str], *, requested_task: str | None
) -> tuple[str | None, list[str]]:
    """Return the task of the folder's head, None for a base model, and notes.

    Raises `PackageError` if another task was requested.
    """
    classes = [str(name) for name in config.get("architectures") or []]
    task = next((task for suffix, task in family.tasks.items() for name in classes if name.endswith(suffix)), None)
    notes = []
    if task is not None and (len(labels) < 2 or config.get("problem_type") in UNSUPPORTED_PROBLEMS):
        kind = config.get("problem_type") or f"{len(labels)} label"
        notes.append(f"the head is dropped, as no task supports it ({kind}); the model is a base model")
        task = None
    elif task is None and classes and not any(name.endswith("Model") for name in classes):
        notes.append(f"the head of {', '.join(classes)} is dropped; the model is a base model to fine-tune")
    if task is not None:
        _check_label_count(config, len(labels))
    if requested_task is not None and requested_task != task:
        actual = f"is for {task}" if task else "is a base model; fine-tune it for a task"
        raise PackageError(f"task is {requested_task}, but the model in the archive {actual}", hint="Leave out task.")
    return task, notes


def _check_label_count(config: Mapping[str, Any], count: int) -> None:
    """Raise `PackageError` if the file says two numbers of labels."""
    for name in ("num_labels", "_num_labels"):
        declared = config.get(name)
        if (config.get("id2label") or config.get("label2id")) and declared is not None and declared != count:
            raise PackageError(
                f"{name} of {CONFIG} is {declared}, but id2label has {count} names",
                hint="Name every row of the classifier's weight in id2label, and remove num_labels.",
            )


def _build_task(
    name: str, encoders: Mapping[str, Encoder[Any]], labels: list[str], imported: ImportedModel
) -> tuple[Task, Choice]:
    """Return the task, and its head with its config."""
    task_type = TASKS[name]
    state = {**imported.task_state, **({"labels": labels} if task_type.head in LABELED_HEADS else {})}
    task = task_type(task_type.config_type.model_validate(imported.task_options), encoders, state)
    config = HEADS[task.head].config_type.model_validate({**task.head_config(), **imported.head_options})
    return task, Choice(name=task.head, config=config.model_dump(mode="json"))


def _ignored_files(archive: ModelArchive, names: set[str]) -> list[str]:
    ignored = archive.names - names - {CONFIG, INDEX}
    code = sorted(name for name in ignored if PurePosixPath(name).suffix == ".py")
    graphs = sorted(name for name in ignored if PurePosixPath(name).suffix == ".onnx")
    notes = []
    if code:
        notes.append(f"{', '.join(code[:MAX_LISTED_FILES])}: ignored, as code of a model is never run")
    if graphs:
        notes.append(f"{', '.join(graphs[:MAX_LISTED_FILES])}: ignored; the graph is exported from the weights")
    return notes
