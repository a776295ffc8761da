"""A folder of Hugging Face's becomes a package: its tensors, its tokenizer and its labels, in their order."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.config import Choice
from ml.data.rows import Rows
from ml.errors import PackageError
from ml.learning.export.packaging import pack
from ml.learning.interchange.families import FAMILIES
from ml.learning.interchange.model_archive import read_json
from ml.learning.nn.heads import HEADS
from ml.learning.nn.network import build
from ml.learning.training.unlabeled import Unlabeled
from ml.package.manifest import Provenance
from ml.package.package import check_weights
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ml.encoders.base import Encoder
    from ml.learning.interchange.families.base import Family, ImportedModel
    from ml.learning.interchange.model_archive import ModelArchive
    from ml.tasks.base import Task

CONFIG: Final = "config.json"
INDEX: Final = "model.safetensors.index.json"
USUAL_LABELS: Final = 2
MOST_LABELS: Final = 50_000
LABELLED: Final = frozenset({"classifier"})
"""Heads whose outputs have names."""
SINGLE: Final = "model.safetensors"
OTHER_PROBLEMS: Final = frozenset({"regression", "multi_label_classification"})
"""What a head of the library's may be for that chooses no class."""


def read_folder(
    bundle: ModelArchive, folder: Path, into: Path, *, task: str | None, on_phase: Callable[[str], None]
) -> dict[str, Any]:
    """Make a package `into` of a bundle that has a `config.json`; returns the report. Raises `PackageError`."""
    on_phase("unpacking")
    bundle.unpack([CONFIG], folder)
    config = read_json(folder / CONFIG)
    family = _family(config)
    wanted = {CONFIG, *_weights(bundle, folder), *(name for name in family.files if name in bundle.names)} - {CONFIG}
    bundle.unpack(wanted, folder)
    for name in wanted:
        if name.endswith(".safetensors"):
            check_weights(folder / name)
    on_phase("reading")
    labels = labels_of(config)
    purpose, notes = _purpose(config, family, labels, asked=task)
    brought = family.read(folder, config, task=purpose)
    notes += [*brought.notes, *_ignored(bundle, wanted)]
    return _pack(family, brought, into, purpose=purpose, labels=labels, config=config, notes=notes, on_phase=on_phase)


def _pack(
    family: type[Family],
    brought: ImportedModel,
    into: Path,
    *,
    purpose: str | None,
    labels: list[str],
    config: Mapping[str, Any],
    notes: list[str],
    on_phase: Callable[[str], None],
) -> dict[str, Any]:
    slot = family.slot
    encoders: dict[str, Encoder[Any]] = {slot: brought.encoder}
    task, head = _task(purpose, encoders, labels, brought) if purpose else (None, None)
    architectures = {slot: brought.architecture}
    network = build(architectures, shapes={slot: brought.encoder.shape()}, head=head)
    if task is not None:
        task.note_widths(network.widths)
    tensors = {f"backbones.{slot}.{name}": tensor for name, tensor in brought.backbone.items()}
    if task is not None:
        tensors |= {f"head.{name}": tensor for name, tensor in brought.head.items()}
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise PackageError(f"the weights do not fit what {CONFIG} describes: {error}") from error
    on_phase("exporting")
    package = pack(
        network.eval(),
        into,
        architectures=architectures,
        encoders=encoders,
        task=task,
        head=head,
        reader=task or Unlabeled(encoders),
        rows=Rows({slot: family.examples()}),
        source=Provenance(imported={"format": "huggingface", "model_type": config["model_type"]}),
    )
    on_phase("checking")
    manifest = package.manifest
    if manifest.no_graph_reason:
        notes.append(f"it has no ONNX graph, and is served by torch: {manifest.no_graph_reason}")
    return {
        "format": "huggingface",
        "task": purpose,
        "architecture": brought.architecture.name,
        "parameters": manifest.parameters,
        "transfer": {"kept": sorted(tensors), "new": [], "dropped": brought.dropped},
        "labels": manifest.labels,
        "graphs": {name: graph.parity.model_dump() for name, graph in manifest.graphs.items() if graph.parity},
        "notes": notes,
    }


def _family(config: Mapping[str, Any]) -> type[Family]:
    if config.get("auto_map"):
        raise PackageError(
            f"{CONFIG} asks for code of its own (auto_map), and code that comes with a model is never run",
            hint="Only models that Hugging Face's library reads without trust_remote_code can come in.",
        )
    if config.get("quantization_config"):
        raise PackageError(f"{CONFIG} tells of quantised weights, which are not read here", hint="Bring float weights.")
    known = {kind: family for family in FAMILIES.values() for kind in family.model_types}
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in known:
        raise PackageError(
            f"{CONFIG} has the model_type {kind!r}, which is not read here; known: {', '.join(sorted(known))}"
        )
    return known[kind]


def _weights(bundle: ModelArchive, folder: Path) -> list[str]:
    if SINGLE in bundle.names:
        return [SINGLE]
    if INDEX in bundle.names:
        bundle.unpack([INDEX], folder)
        listed = read_json(folder / INDEX).get("weight_map")
        shards = sorted({str(name) for name in listed.values()}) if isinstance(listed, dict) else []
        if missing := [name for name in shards if name not in bundle.names or not name.endswith(".safetensors")]:
            raise PackageError(f"{INDEX} names files that are not in the archive: {', '.join(missing[:5])}")
        if shards:
            return shards
    raise PackageError(
        f"the folder has no weights: neither {SINGLE} nor {INDEX} with its shards",
        hint="`model.save_pretrained(folder)` writes them; a pickle (pytorch_model.bin) is never read.",
    )


def labels_of(config: Mapping[str, Any], *, usual: bool = True) -> list[str]:
    """In the order of their codes; nothing is sorted, for the weights are not.

    Where a `config.json` names none, those that the library would make up if `usual`, else none.
    """
    listed = config.get("id2label")
    if listed is None and not usual:
        return []
    if listed is None:
        # The library leaves them out where nobody has named them.
        count = config.get("num_labels", USUAL_LABELS)
        return [f"LABEL_{code}" for code in range(count)] if isinstance(count, int) and count < MOST_LABELS else []
    if not isinstance(listed, dict) or not listed:
        return []
    try:
        by_code = {int(code): str(label) for code, label in listed.items()}
    except ValueError:
        raise PackageError("id2label must map numbers to names") from None
    if sorted(by_code) != list(range(len(by_code))):
        raise PackageError(f"id2label must number its {len(by_code)} names from 0 on without a gap")
    labels = [by_code[code] for code in range(len(by_code))]
    if len(set(labels)) < len(labels):
        raise PackageError("id2label has one name twice", hint="Give each class a name of its own.")
    return labels


def _purpose(
    config: Mapping[str, Any], family: type[Family], labels: list[str], *, asked: str | None
) -> tuple[str | None, list[str]]:
    """The task that the folder's head is for; None for a base model. What is asked must be what is there."""
    kinds = [str(kind) for kind in config.get("architectures") or []]
    found = next((task for end, task in family.tasks.items() for kind in kinds if kind.endswith(end)), None)
    notes = []
    if found is not None and (len(labels) < 2 or config.get("problem_type") in OTHER_PROBLEMS):
        why = config.get("problem_type") or f"{len(labels)} label"
        notes.append(f"its head ({why}) answers no question that is known here, and is left out: a base model")
        found = None
    elif found is None and kinds and not any(kind.endswith("Model") for kind in kinds):
        notes.append(f"the head of {', '.join(kinds)} is left out: a base model, to be fine-tuned")
    if asked is not None and asked != found:
        has = f"is for {found}" if found else "is a base model: fine-tune it for a task"
        raise PackageError(f"it was to be for {asked}, but what is in the archive {has}", hint="Leave task out.")
    return found, notes


def _task(
    purpose: str, encoders: Mapping[str, Encoder[Any]], labels: list[str], brought: ImportedModel
) -> tuple[Task, Choice]:
    kind = TASKS[purpose]
    state = {**brought.state, **({"labels": labels} if kind.head in LABELLED else {})}
    task = kind(kind.config_type.model_validate(brought.options), encoders, state)
    config = HEADS[task.head].config_type.model_validate({**task.head_config(), **brought.head_options})
    return task, Choice(name=task.head, config=config.model_dump(mode="json"))


def _ignored(bundle: ModelArchive, wanted: set[str]) -> list[str]:
    left = bundle.names - wanted - {CONFIG, INDEX}
    code = sorted(name for name in left if PurePosixPath(name).suffix == ".py")
    graphs = sorted(name for name in left if PurePosixPath(name).suffix == ".onnx")
    notes = []
    if code:
        notes.append(f"{', '.join(code[:5])}: not read, for code that comes with a model is never run")
    if graphs:
        notes.append(f"{', '.join(graphs[:5])}: not read; the graph is made anew and compared with the weights")
    return notes
