"""What an exported folder says to whoever opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from ml.package.manifest import Graph


def readme(told: Mapping[str, Any], graphs: Mapping[str, Graph], needs: Sequence[str], answers: ModuleType) -> str:
    """Markdown. `told` is what `preprocessing.json` holds."""
    task = told["task"]["name"] if told["task"] else "embedding"
    parts = [f"# An ONNX model for {task}", _use(needs), "## Graphs", *_graphs(told, graphs)]
    parts += ["## Inputs", *(_input(name, about) for name, about in told["inputs"].items()), "## Answers"]
    parts.append(" ".join((answers.__doc__ or "").split()))
    if told["labels"]:
        parts.append(f"Labels, in the order of their codes: {', '.join(told['labels'][:100])}.")
    if told["rows_a_call"]:
        parts.append("The graph is asked for one row at a time, so that no answer depends on the rows beside it.")
    parts.append("All of this, for programs: `preprocessing.json`. How each graph was judged: `parity.json`.")
    return "\n\n".join(parts) + "\n"


def _use(needs: Sequence[str]) -> str:
    lines = [f"pip install {' '.join(needs)}"]
    lines += ["python run.py FILE ...          # an input each; or the JSON body of a request to /predict"]
    return "```sh\n" + "\n".join(lines) + "\n```"


def _graphs(told: Mapping[str, Any], graphs: Mapping[str, Graph]) -> list[str]:
    found = []
    for name, graph in graphs.items():
        about = told["graphs"][name]
        rows = [
            f"| {each['name']} | {way} | {each['type']} | {_shape(each['shape'])} |"
            for way, arrays in (("in", about["inputs"]), ("out", about["outputs"]))
            for each in arrays
        ]
        files = ", then ".join(f"`{each}`" for each in about["files"])
        lines = [f"{files}, opset {about['opset']}. An axis with a name has any length.", ""]
        found.append("\n".join([*lines, "| array | | type | shape |", "|---|---|---|---|", *rows]))
        parity = graph.parity
        if parity is not None:
            changed = "" if parity.labels_changed is None else f", {parity.labels_changed} labels changed"
            said = f"Against the network it was made of: {parity.rows} rows, differs by at most "
            found.append(f"{said}{parity.max_abs_difference:g}{changed} ({', '.join(about['exact_files'])}).")
        if graph.variant is not None and graph.variant.served:
            variant = graph.variant
            judged = f"{variant.metric} goes from {variant.before:.4f} to {variant.after:.4f}"
            found.append(f"`{about['files'][0]}` is its faster variant `{variant.name}`: {judged}; {variant.reason}.")
            found.append(
                "Processors without VNNI cut off its sums unless `session.x64quantprecision` is 1, as `run.py` sees to."
            )
    return found


def _shape(shape: Sequence[Any]) -> str:
    return " x ".join(str(each) for each in shape) or "one"


def _input(name: str, about: Mapping[str, Any]) -> str:
    hidden = ("how", "reader", "folder")
    numbers = {key: value for key, value in about.items() if key not in hidden}
    said = about["how"] or f"As the encoder {about['reader']} reads it; its numbers are below."
    lines = [f"### {name}", "", said, ""]
    for key, value in numbers.items():
        text = str(value)
        lines.append(f"- {key}: {text if len(text) < 200 else f'{text[:200]} ... (in preprocessing.json)'}")
    return "\n".join([*lines, f"- files: `{about['folder']}/`"])
