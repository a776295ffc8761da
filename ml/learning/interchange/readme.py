"""README of an exported ONNX folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from ml.package.manifest import Graph

MAX_LISTED_LABELS: Final = 100
MAX_VALUE_CHARACTERS: Final = 200


def render_readme(
    metadata: Mapping[str, Any], graphs: Mapping[str, Graph], requirements: Sequence[str], postprocessor: ModuleType
) -> str:
    """Return Markdown; `metadata` is the content of `preprocessing.json`."""
    task = metadata["task"]["name"] if metadata["task"] else "embedding"
    parts = [f"# An ONNX model for {task}", _render_usage(requirements), "## Graphs"]
    for name, graph in graphs.items():
        parts += _render_graph(metadata["graphs"][name], graph)
    parts += ["## Inputs", *(_render_input(name, encoder) for name, encoder in metadata["inputs"].items())]
    parts += ["## Outputs", " ".join((postprocessor.__doc__ or "").split())]
    if metadata["labels"]:
        parts.append(f"Labels, in the order of their codes: {', '.join(metadata['labels'][:MAX_LISTED_LABELS])}.")
    if metadata["max_batch_size"] == 1:
        parts.append("The graph runs one row at a time, so that no output depends on the other rows of a batch.")
    parts.append("`preprocessing.json` has the same for programs; `parity.json` compares each graph with its network.")
    return "\n\n".join(parts) + "\n"


def _render_usage(requirements: Sequence[str]) -> str:
    lines = [f"pip install {' '.join(requirements)}"]
    lines += ["python run.py FILE ...          # one file for each input, or the JSON body of a request to /predict"]
    return "```sh\n" + "\n".join(lines) + "\n```"


def _render_graph(metadata: Mapping[str, Any], graph: Graph) -> list[str]:
    files = ", then ".join(f"`{file}`" for file in metadata["files"])
    table = [
        f"{files}, opset {metadata['opset']}. An axis with a name has any length.",
        "",
        "| array | | type | shape |",
        "|---|---|---|---|",
    ]
    table += [
        f"| {tensor['name']} | {direction} | {tensor['type']} | {_render_shape(tensor['shape'])} |"
        for direction, key in (("in", "inputs"), ("out", "outputs"))
        for tensor in metadata[key]
    ]
    parts = ["\n".join(table)]
    parity, variant = graph.parity, graph.variant
    if parity is not None:
        changed = "" if parity.labels_changed is None else f", {parity.labels_changed} labels changed"
        compared = f"Compared with its network on {parity.rows} rows: differs by at most "
        parts.append(f"{compared}{parity.max_abs_difference:g}{changed} ({', '.join(metadata['exact_files'])}).")
    if variant is not None and variant.served:
        change = f"{variant.metric} goes from {variant.before:.4f} to {variant.after:.4f}"
        parts.append(f"`{metadata['files'][0]}` is the faster variant `{variant.name}`: {change}; {variant.reason}.")
        parts.append(
            "Processors without VNNI saturate its sums unless `session.x64quantprecision` is 1, which `run.py` sets."
        )
    return parts


def _render_shape(shape: Sequence[Any]) -> str:
    return " x ".join(str(length) for length in shape) or "one"


def _render_input(name: str, encoder: Mapping[str, Any]) -> str:
    description = encoder["description"] or f"Encoded by `{encoder['encoder']}`, with the config below."
    lines = [f"### {name}", "", description, ""]
    for key, value in encoder["config"].items():
        text = str(value)
        cut = f"{text[:MAX_VALUE_CHARACTERS]} ... (in preprocessing.json)"
        lines.append(f"- {key}: {text if len(text) < MAX_VALUE_CHARACTERS else cut}")
    return "\n".join([*lines, f"- files: `{encoder['folder']}/`"])
