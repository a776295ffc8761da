"""Upgrades data of format version 1: manifests, checkpoints and training specs.

Version 2 renamed some fields and public words; no value and no tensor has changed. Each function leaves values of an
unexpected type as they are, so that the reader that follows can report them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, TypeVar

T = TypeVar("T")

FORMAT_VERSION: Final = 1

SCHEDULE_FIELDS: Final = {"least_steps": "min_steps", "least_batches": "min_batches_per_epoch"}
OBJECTIVES: Final = {
    "causal_language_modelling": "causal_language_modeling",
    "masked_image_modelling": "masked_image_modeling",
    "masked_language_modelling": "masked_language_modeling",
}
METRICS: Final = {"twin_accuracy": "contrastive_accuracy"}
#: Options by the current name of what they belong to.
OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "cnn": {"normalise": "normalize"},
    "ctc": {"letters": "characters"},
    "gradual_unfreezing": {"thawed_after": "unfreeze_until"},
    "masked_audio": {"share": "mask_fraction"},
    "masked_language_modeling": {"share": "prediction_fraction"},
}

#: Fields of a spec, with their defaults, that came after builds which wrote format version 2.
LATER_FIELDS: Final = (
    *('"calibration_folds":null', '"sizes":null', '"exits":false', '"loss":"mse"'),
    *('"event_weights":null', '"rating_weights":"equal"', '"keep_histories":true'),
    *('"head_width":null', '"inner":null', '"feed_forward":null', '"patch":null', '"class_token":false'),
    *('"halving_side":0', '"state_width":null'),
)
#: Those that came between version 1 and these builds.
FIELDS_AFTER_VERSION_1: Final = ('"max_steps":null', '"allow_noncommercial":null', '"adversary":null')

MANIFEST_FIELDS: Final = {"no_graph": "no_graph_reason"}
PARITY_FIELDS: Final = {"largest_output": "max_abs_output"}
VARIANT_FIELDS: Final = {"speed": "speedup", "alone": "single_row"}

STATE_FIELDS: Final = {
    "run": "run_fingerprint",
    "position": "steps_in_epoch",
    "stale_epochs": "epochs_without_improvement",
    "scaler": "grad_scaler",
    "torch": "torch_version",
}
TENSOR_PREFIXES: Final = {"chance": "rng"}
#: Last part of the names of parametrizations, which only checkpoints hold.
PARAMETRIZATIONS: Final = {"more": "appended"}


def upgrade_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training spec with current words; a current one stays the same."""
    schedule = _rename_keys(spec.get("schedule"), SCHEDULE_FIELDS)
    if isinstance(schedule, dict):
        stopping = schedule.get("early_stopping")
        if isinstance(stopping, dict) and isinstance(stopping.get("monitor"), str):
            schedule["early_stopping"] = {**stopping, "monitor": _rename_metric(stopping["monitor"])}
    changes = {"schedule": schedule, **_upgrade_choices(spec)}
    return {name: changes.get(name, value) for name, value in spec.items()}


def earlier_spec_jsons(text: str) -> Iterator[str]:
    """Yield the JSON of a spec as earlier builds wrote it, the latest first.

    Checkpoints hold a digest of it, and a run must continue after an update. A field that is used has no earlier form.
    """
    version_2 = _without_fields(text, LATER_FIELDS)
    yield version_2
    tables = (SCHEDULE_FIELDS, OBJECTIVES, METRICS, *OPTIONS.values())
    words = {new: old for names in tables for old, new in names.items()}
    fewest = _without_fields(version_2, FIELDS_AFTER_VERSION_1)
    yield re.sub(rf"\b({'|'.join(words)})\b", lambda match: words[match[0]], fewest)


def _without_fields(text: str, fields: Collection[str]) -> str:
    """Return compact JSON without these fields, wherever they have these values."""
    for field in fields:
        text = text.replace(f"{field},", "").replace(f",{field}", "").replace(field, "")
    return text


def upgrade_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a package's `manifest.json` in format version 2."""
    upgraded = {MANIFEST_FIELDS.get(name, name): value for name, value in manifest.items()}
    upgraded["format_version"] = FORMAT_VERSION + 1
    upgraded.update(_upgrade_choices(upgraded))
    if "metrics" in upgraded:
        upgraded["metrics"] = _upgrade_metrics(upgraded["metrics"])
    if isinstance(graphs := upgraded.get("graphs"), dict):
        upgraded["graphs"] = {name: _upgrade_graph(graph) for name, graph in graphs.items()}
    source = upgraded.get("source")
    if isinstance(source, dict) and isinstance(source.get("spec"), dict):
        upgraded["source"] = {**source, "spec": upgrade_spec(source["spec"])}
    return upgraded


def upgrade_checkpoint_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a checkpoint's `state.json` in format version 2."""
    upgraded = {STATE_FIELDS.get(name, name): value for name, value in state.items()}
    if "metrics" in upgraded:
        upgraded["metrics"] = _upgrade_metrics(upgraded["metrics"])
    return upgraded


def upgrade_checkpoint_tensors(tensors: Mapping[str, T]) -> dict[str, T]:
    """Return the tensors of a checkpoint under the names of format version 2."""
    upgraded = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        parts[0] = TENSOR_PREFIXES.get(parts[0], parts[0])
        if "parametrizations" in parts:
            parts[-1] = PARAMETRIZATIONS.get(parts[-1], parts[-1])
        upgraded[".".join(parts)] = tensor
    return upgraded


def _upgrade_graph(graph: Any) -> Any:
    if not isinstance(graph, dict):
        return graph
    upgraded = {**graph}
    if "parity" in graph:
        upgraded["parity"] = _rename_keys(graph["parity"], PARITY_FIELDS)
    if "variant" in graph:
        upgraded["variant"] = _upgrade_variant(graph["variant"])
    if isinstance(variants := graph.get("other_variants"), list):
        upgraded["other_variants"] = [_upgrade_variant(variant) for variant in variants]
    return upgraded


def _upgrade_variant(variant: Any) -> Any:
    upgraded = _rename_keys(variant, VARIANT_FIELDS)
    if isinstance(upgraded, dict) and "parity" in upgraded:
        upgraded["parity"] = _rename_keys(upgraded["parity"], PARITY_FIELDS)
    return upgraded


def _upgrade_choices(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choices of a spec or manifest with current names and options."""
    choices = {
        name: _upgrade_choice(fields[name])
        for name in ("architecture", "head", "objective", "tuning")
        if name in fields
    }
    if isinstance(architectures := fields.get("architectures"), dict):
        choices["architectures"] = {slot: _upgrade_choice(choice) for slot, choice in architectures.items()}
    return choices


def _upgrade_choice(choice: Any) -> Any:
    if isinstance(choice, str):
        return OBJECTIVES.get(choice, choice)
    if not isinstance(choice, dict) or not isinstance(choice.get("name"), str):
        return choice
    old_name: str = choice["name"]
    name = OBJECTIVES.get(old_name, old_name)
    upgraded = {**choice, "name": name}
    if "config" in choice:
        upgraded["config"] = _rename_keys(choice["config"], OPTIONS.get(name, {}))
    return upgraded


def _upgrade_metrics(metrics: Any) -> Any:
    if not isinstance(metrics, dict):
        return metrics
    return {_rename_metric(name): value for name, value in metrics.items()}


def _rename_metric(name: str) -> str:
    """Rename `metric` or `split/metric`."""
    split, slash, metric = name.rpartition("/")
    return f"{split}{slash}{METRICS.get(metric, metric)}"


def _rename_keys(value: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(value, dict):
        return value
    return {names.get(name, name): field for name, field in value.items()}
