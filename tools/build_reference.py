"""Writes the reference pages from the code, and the index of the decisions.

python -m tools.build_reference
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from tools import build_clients

REPOSITORY: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = REPOSITORY / "docs" / "reference"
DECISIONS: Final = REPOSITORY / "docs" / "decisions"
NOTICE: Final = "<!-- Written by `make reference`. Change the code, not this page. -->"

#: Variables that no settings class of the service has.
CLIENT_VARIABLES: Final[Mapping[str, tuple[str, str]]] = {
    "PLINTH_URL": ("the local service", "Where the client and the `plinth` command reach the API."),
}


def pages() -> dict[str, str]:
    """File name -> text of every reference page."""
    bodies: Mapping[str, Callable[[], str]] = {
        "settings.md": settings,
        "commands.md": commands,
        "http.md": http,
        "catalog.md": catalog,
        "errors.md": errors,
        "glossary.md": glossary,
    }
    written = {name: f"{NOTICE}\n{body().strip()}\n" for name, body in bodies.items()}
    lines = [f"- [{_title(text)}]({name}): {_first_line(text)}" for name, text in written.items()]
    return {"index.md": f"{NOTICE}\n# Reference\n\n" + "\n".join(lines) + "\n", **written}


def _title(text: str) -> str:
    return next(line[2:] for line in text.splitlines() if line.startswith("# "))


def _first_line(text: str) -> str:
    lines = text.splitlines()
    return next(line for line in lines[2:] if line.strip())


# Settings


def settings() -> str:
    """Every `PLINTH_*` variable with its default, its limits and its note."""
    from app.settings import AppSettings
    from store.settings import StoreSettings
    from worker.settings import WorkerSettings

    parts = [
        "# Settings",
        "",
        "Every setting is an environment variable. The API, the worker and `plinth up` read them when they start.",
    ]
    for title, kind in (
        ("All processes", StoreSettings),
        ("API", AppSettings),
        ("Worker", WorkerSettings),
    ):
        rows = [(f"`PLINTH_{name.upper()}`", *facts) for name, *facts in fields_of(kind)]
        parts += ["", f"## {title}", "", *_table(("variable", "default", "limits", "meaning"), rows)]
    others = [(f"`{name}`", default, note) for name, (default, note) in CLIENT_VARIABLES.items()]
    parts += ["", "## Client", "", *_table(("variable", "default", "meaning"), others)]
    parts += ["", "S3 credentials are the usual `AWS_*` variables."]
    return "\n".join(parts)


def fields_of(kind: type[BaseSettings]) -> Iterator[tuple[str, str, str, str]]:
    """Name, default, limits and note of every field of a settings class."""
    notes = notes_of(kind)
    for name, field in kind.model_fields.items():
        documented = next((item.documentation for item in field.metadata if hasattr(item, "documentation")), None)
        note = field.description or documented or notes.get(name, "")
        yield name, _default(name, field.default), _limits(name, field.metadata), note


def notes_of(kind: type) -> dict[str, str]:
    """Map fields to their notes in the source: `#:` lines, or a string below."""
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.splitlines()
    body = cast(ast.ClassDef, ast.parse(source).body[0]).body
    notes: dict[str, str] = {}
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        above = node.lineno - 1
        comment: list[str] = []
        while above > 0 and lines[above - 1].strip().startswith("#:"):
            comment.insert(0, lines[above - 1].strip()[2:].strip())
            above -= 1
        beside = lines[cast(int, node.end_lineno) - 1].partition("#:")[2].strip()
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            comment.append(inspect.cleandoc(str(following.value.value)).replace("\n", " "))
        if text := " ".join([*comment, *([beside] if beside else [])]):
            notes[node.target.id] = text
    return notes


def _default(name: str, value: object) -> str:
    if value is None or value == "" or isinstance(value, SecretStr):
        return "none"
    return f"`{value}`" if isinstance(value, str | Path) or name == "port" else f"`{_number(name, value)}`"


def _number(name: str, value: Any) -> str:
    """Bytes in the largest binary unit that divides them; floats without a trailing zero."""
    if name.endswith("_bytes"):
        for factor, unit in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
            if value >= factor and value % factor == 0:
                return f"{value // factor} {unit}"
    return f"{value:g}" if isinstance(value, float) else f"{value:,}"


def _limits(name: str, metadata: Sequence[object]) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "min_length": "at least"}
    limits = []
    for item in metadata:
        for attribute, word in words.items():
            if (limit := getattr(item, attribute, None)) is not None:
                unit = " characters" if attribute == "min_length" else ""
                limits.append(f"{word} {_number(name, limit)}{unit}")
        if pattern := getattr(item, "pattern", None):
            limits.append(f"`{pattern}`".replace("|", "\\|"))
    return ", ".join(limits)


# Commands


def commands() -> str:
    """Every command with its arguments and options."""
    import typer

    from plinth.cli.main import app

    parts = [
        "# Commands",
        "",
        "The `plinth` command and its subcommands. `plinth COMMAND --help` prints the same.",
    ]
    for path, command in _commands(typer.main.get_command(app), ("plinth",)):
        arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
        options = [parameter for parameter in command.params if parameter.name not in ("help", "install_completion")]
        usage = " ".join([*path, *(_metavar(argument) for argument in arguments)])
        parts += ["", f"## {' '.join(path)}", "", str(command.help or "").strip(), "", f"    {usage} [OPTIONS]", ""]
        rows = [_option(parameter) for parameter in options if parameter.name != "show_completion"]
        parts += _table(("argument or option", "default", "meaning"), rows) if rows else []
    return "\n".join(parts)


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, depth first; a group only where it runs by itself."""
    subcommands = getattr(command, "commands", {})
    if not subcommands or getattr(command, "invoke_without_command", False):
        yield path, command
    for name, subcommand in subcommands.items():
        yield from _commands(subcommand, (*path, name))


def _metavar(argument: Any) -> str:
    return f"{str(argument.name).upper()}{'...' if argument.nargs != 1 else ''}"


def _option(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        name = f"`{_metavar(parameter)}`"
    else:
        name = ", ".join(f"`{option}`" for option in parameter.opts)
    default = parameter.default
    text = "required" if parameter.required else "" if default in (None, False, (), []) else f"`{default}`"
    variable = f" Variable: `{parameter.envvar}`." if getattr(parameter, "envvar", None) else ""
    return name, text, f"{getattr(parameter, 'help', '') or ''}{variable}"


# HTTP


def http() -> str:
    """Every route, by tag, from the OpenAPI document."""
    from app.main import create_app
    from app.settings import AppSettings

    document = create_app(AppSettings()).openapi()
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in ("get", "post", "put", "patch", "delete", "head", "options"):
                tag = next(iter(operation.get("tags", [])), "service")
                summary = _sentence(operation.get("description") or operation.get("summary") or "")
                groups.setdefault(tag, []).append((f"`{method.upper()} {path}`", operation.get("x-scope", ""), summary))
    parts = [
        "# HTTP API",
        "",
        "Every route. A running service has the full reference with examples at `/docs`, and the OpenAPI document at "
        "`/openapi.json`. The scope is what a key must include; a route without one needs no key.",
    ]
    for tag, rows in groups.items():
        parts += ["", f"## {tag}", "", *_table(("route", "scope", "what it does"), rows)]
    return "\n".join(parts)


# Catalog


def catalog() -> str:
    """All that a job can name, from `ml/spec/catalog.json`."""
    stored = json.loads((REPOSITORY / "ml" / "spec" / "catalog.json").read_text(encoding="utf-8"))
    parts = [
        "# Catalog",
        "",
        "What a job can name. `GET /api/v1/catalog` answers the same as JSON, with a schema of the options.",
        "",
        "## Tasks",
        "",
        *_table(
            ("task", "what it does", "columns", "default architecture", "metrics"),
            [
                (
                    f"`{name}`",
                    entry["summary"],
                    _names(entry["columns"]),
                    _names(slot["default_architecture"] for slot in entry["slots"].values()),
                    _names(entry["metrics"]),
                )
                for name, entry in stored["tasks"].items()
            ],
        ),
        "",
        "## Architectures",
        "",
        *_table(
            ("architecture", "what it is", "reads", "provides", "presets (parameters)", "source"),
            [
                (
                    f"`{name}`",
                    entry["summary"],
                    _names(entry["accepts"]),
                    _names(entry["provides"]),
                    ", ".join(f"`{size}` ({preset['parameters']:,})" for size, preset in entry["presets"].items()),
                    entry["source"],
                )
                for name, entry in stored["architectures"].items()
            ],
        ),
        "",
        "## Objectives",
        "",
        *_table(
            ("objective", "what it does", "needs labels", "source"),
            [
                (f"`{name}`", entry["summary"], "yes" if entry["needs_labels"] else "no", entry["source"] or "")
                for name, entry in stored["objectives"].items()
            ],
        ),
        "",
        "## Tunings",
        "",
        *_table(
            ("tuning", "what it does", "does not fit", "source"),
            [
                (f"`{name}`", entry["summary"], _names(entry["unfit"]), entry["source"] or "")
                for name, entry in stored["tunings"].items()
            ],
        ),
        "",
        "## Attacks",
        "",
        *_table(
            ("attack", "what it does", "perturbs", "source"),
            [
                (f"`{name}`", entry["summary"], _names(entry["signals"]), entry["source"])
                for name, entry in stored["attacks"].items()
            ],
        ),
        "",
        "## Data formats",
        "",
        *_table(
            ("format", "what it reads", "columns"),
            [(f"`{name}`", entry["summary"], _names(entry["columns"])) for name, entry in stored["formats"].items()],
        ),
        "",
        "## Options",
    ]
    for group in ("tasks", "architectures", "objectives", "tunings", "attacks"):
        for name, entry in stored[group].items():
            if rows := list(_schema_rows(entry["config_schema"])):
                parts += ["", f"### {name}", "", *_table(("option", "default", "values"), rows)]
    return "\n".join(parts)


def _schema_rows(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, field in schema.get("properties", {}).items():
        default = "" if field.get("default") is None else f"`{json.dumps(field['default'])}`"
        values = ", ".join(f"`{value}`" for value in field.get("enum", ())) or field.get("type", "")
        bounds = [
            f"{word} {field[key]:,}"
            for key, word in (
                ("minimum", "at least"),
                ("exclusiveMinimum", "above"),
                ("maximum", "at most"),
                ("exclusiveMaximum", "below"),
            )
            if key in field
        ]
        note = field.get("description", "")
        yield f"`{name}`", default, "; ".join(text for text in (", ".join([values, *bounds]).strip(", "), note) if text)


# Errors


def errors() -> str:
    """Every error code: of HTTP answers, of jobs, and of uploaded data."""
    from ml.data.issue_catalog import ISSUE_TYPES

    parts = [
        "# Errors",
        "",
        "Codes of HTTP answers, of failed jobs, and of problems in uploaded data. Programs should compare codes, never "
        "messages.",
        "",
        "## HTTP answers",
        "",
        "Every error is an `application/problem+json` document (RFC 9457) with `status`, `code`, `detail` and "
        "`request_id`, and with `errors` where the request has several problems. On paths of other protocols its type "
        "is `application/json`, which their clients expect.",
        "",
        *_table(("code", "status", "example of its detail"), list(_problems())),
        "",
        "## Failed jobs",
        "",
        "A job that ends as `failed` has an `error` with one of these codes.",
        "",
        *_table(("code", "message", "what to do"), sorted(_job_errors())),
        "",
        "## Problems in uploaded data",
        "",
        "The report of a dataset lists these. An error rejects the upload, a warning is for its owner to judge, and a "
        "repair was made while reading.",
        "",
        *_table(
            ("code", "severity", "what to do"),
            [(f"`{code}`", issue.severity, _sentence(issue.hint)) for code, issue in ISSUE_TYPES.items()],
        ),
    ]
    return "\n".join(parts)


def _problems() -> Iterator[tuple[str, str, str]]:
    from app.http.problem_codes import PROBLEMS

    for code, example in sorted(PROBLEMS.items(), key=lambda item: (item[1].status, item[0])):
        yield f"`{code}`", str(example.status), example.detail


def _job_errors() -> Iterator[tuple[str, str, str]]:
    """The calls `error_payload(code, message, hint)` of the worker, and the errors of `ml`."""
    from ml import errors as of_ml

    for kind in (of_ml.DataError, of_ml.PackageError, of_ml.SpecError, of_ml.TrainingDiverged):
        summary = (inspect.getdoc(kind) or "").partition("\n")[0]
        yield f"`{kind.code}`", summary, "The message and the hint of the job name the value and the fix."
    for path in sorted((REPOSITORY / "worker").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "error_payload" and len(node.args) == 3:
                code, message, hint = (_literal(argument) for argument in node.args)
                if code != "...":
                    yield f"`{code}`", _sentence(message), hint.replace("None", "")


def _literal(node: ast.expr) -> str:
    """A string as it stands; the parts of an f-string that vary are `...`."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
    return "..."


# Glossary


def glossary() -> str:
    """The words of `docs/glossary.toml`, in alphabetical order."""
    tables = tomllib.loads((REPOSITORY / "docs" / "glossary.toml").read_text(encoding="utf-8"))
    rows = [
        (entry["word"], entry["meaning"], _names(entry["carried_by"]))
        for entry in sorted(tables["entry"], key=lambda entry: str(entry["word"]).lower())
    ]
    return "\n".join(
        [
            "# Glossary",
            "",
            "One word, one meaning: each entry names the modules, classes or functions that carry the word.",
            "",
            *_table(("word", "meaning", "in the code"), rows),
        ]
    )


# Decisions


def decisions() -> str:
    """Index of `docs/decisions`, from the titles and the headers of its pages."""
    rows = []
    for path in sorted(DECISIONS.glob("[0-9]*.md")):
        lines = path.read_text(encoding="utf-8").splitlines()
        date, status, *_ = (cell.strip() for cell in lines[4].strip("|").split("|"))
        rows.append((f"[{lines[0].removeprefix('# ')}]({path.name})", date, status))
    parts = [
        NOTICE,
        "# Decisions",
        "",
        "Choices that are hard to reverse, with what was measured and what was rejected. A decision is never rewritten "
        "when it changes: a new one supersedes it. Copy [the template](template.md).",
        "",
        *_table(("decision", "date", "status"), rows),
    ]
    return "\n".join(parts) + "\n"


# Tables


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]


def _cell(text: str) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"(?<!\\)\|", r"\\|", text).replace("<", "&lt;")


def _names(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(name for name in names if name))


def _sentence(text: str) -> str:
    """The first paragraph, with a capital at its start and a period at its end."""
    text = re.sub(r"\s+", " ", text.strip().partition("\n\n")[0])
    text = text[:1].upper() + text[1:]
    return text if not text or text.endswith((".", "?", "!")) else f"{text}."


def main() -> int:
    """Write the pages, and remove those that no longer exist."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    written = pages()
    for old in FOLDER.glob("*.md"):
        if old.name not in written:
            old.unlink()
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    (DECISIONS / "index.md").write_text(decisions(), encoding="utf-8")
    build_clients.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
