"""Writes the page of the clients that tests run, from the marks of these tests.

python -m tools.build_clients

A test module states each client that it runs by `pytest.mark.client(name, package, calls)`. The version is that of the
pin: in `constraints.txt`, a dependency group (`group:openai2` is openai in that group), the test itself (`npm:openai`),
or the `package.json` beside it.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PAGE: Final = REPOSITORY / "docs" / "clients.md"
HEAD: Final = """\
<!-- Written by `make reference` from the marks of the tests. Change a test, not this page. -->
# Clients

Programs of others that ask a Plinth model unchanged, by its address and key alone. Each version is pinned, and CI \
runs each call against a real service on every change: a row that fails stops it.

| client | version | calls | test |
|---|---|---|---|
"""
TAIL: Final = """
How to point each at a service: [OpenAI](how-to/clients/openai_clients.md), \
[Hugging Face](how-to/clients/huggingface_clients.md), \
[typed questions](how-to/clients/decisions.md), \
[Triton and KServe](how-to/clients/inference_protocol.md), \
[SageMaker, MLflow, Vertex, TF Serving and TorchServe](how-to/clients/containers.md), \
[a client of your own](how-to/clients/generate_a_client.md).
"""


@dataclass(frozen=True, slots=True, order=True)
class MarkedClient:
    """A client that a test module runs."""

    name: str
    package: str
    calls: str
    #: Path of the test module in the repository.
    test: str


def marked_clients(folder: Path = REPOSITORY / "tests") -> list[MarkedClient]:
    """Return the clients that marks of tests state, by name."""
    paths = sorted(folder.rglob("test_*.py"))
    return sorted(client for path in paths for client in _clients_of(path))


def _clients_of(path: Path) -> Iterator[MarkedClient]:
    content = path.read_text(encoding="utf-8")
    if "mark.client(" not in content:
        return
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.client":
            name, package, calls = (ast.literal_eval(argument) for argument in node.args)
            yield MarkedClient(name, package, calls, path.relative_to(REPOSITORY).as_posix())


def version_of(client: MarkedClient) -> str:
    """Return the pinned version of a client's package; raises `ValueError` if it is not pinned."""
    pins = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    pins = [*(pin for group in groups.values() for pin in group), *pins]
    for name, group in groups.items():
        pins += [f"group:{name}=={pin.partition('==')[2]}" for pin in group if name.startswith(pin.partition("==")[0])]
    versions = {_plain(name): version for name, _, version in (pin.partition("==") for pin in pins) if version}
    for path in (REPOSITORY / client.test).parent.rglob("package.json"):
        versions |= json.loads(path.read_text(encoding="utf-8")).get("devDependencies", {})
    if client.package.startswith("npm:"):
        name = re.escape(client.package.removeprefix("npm:"))
        if pin := re.search(rf'"{name}@([^"]+)"', (REPOSITORY / client.test).read_text(encoding="utf-8")):
            versions[client.package] = pin[1]
    if client.package not in versions:
        raise ValueError(f"{client.test}: {client.package} has no pinned version; pin it in constraints.txt")
    return versions[client.package]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def page() -> str:
    """Return the page."""
    rows = [
        f"| {client.name} | {version_of(client)} | {client.calls} | `{client.test}` |" for client in marked_clients()
    ]
    return HEAD + "\n".join(rows) + "\n" + TAIL


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
