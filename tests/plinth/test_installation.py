import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import plinth
from plinth import installation
from plinth.installation import DISTRIBUTION, install_command

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
PACKAGES = ("app", "migrations", "ml", "plinth", "store", "worker")
PAGES = [str(path.relative_to(REPOSITORY)) for path in (*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"))]
# The readme of an exported folder installs what that folder needs, which is no part of Plinth.
OTHER_INSTALLERS = {"readme.py"}


def test_in_its_own_folder_a_clone_is_installed_as_a_dot(monkeypatch):
    monkeypatch.chdir(REPOSITORY)

    assert install_command("server") == "pip install '.[server]'"


def test_in_another_folder_a_clone_is_installed_by_its_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    assert shlex.split(install_command("api")) == ["pip", "install", f"{REPOSITORY}[api]"]


def test_a_wheel_names_the_distribution_on_the_index(tmp_path):
    with zipfile.ZipFile(tmp_path / "wheel.zip", "w") as wheel:
        for file in ("__init__.py", "installation.py"):
            wheel.write(Path(installation.__file__).with_name(file), f"plinth/{file}")
    program = "from plinth.installation import install_command; print(install_command('server'))"
    with zipfile.ZipFile(tmp_path / "wheel.zip") as wheel:
        wheel.extractall(tmp_path / "site-packages")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site-packages")}

    process = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True)

    assert process.stdout.decode().strip() == "pip install 'plinth-ml[server]'"


def test_the_distribution_has_its_own_name_and_the_extras_named_by_hints():
    assert PROJECT["name"] == DISTRIBUTION != "plinth"
    assert list(PROJECT["scripts"]) == ["plinth"]
    assert {"api", "server"} <= PROJECT["optional-dependencies"].keys()


def test_the_version_is_written_in_one_file():
    files = [
        file
        for file in (REPOSITORY / "pyproject.toml", *(path for room in PACKAGES for path in _list_sources(room)))
        if re.search(rf"""["']{re.escape(plinth.__version__)}["']""", file.read_text())
    ]

    assert files == [REPOSITORY / "plinth" / "__init__.py"]
    assert PROJECT["dynamic"] == ["version"]


@pytest.mark.parametrize("room", PACKAGES)
def test_messages_contain_no_install_command_of_their_own(room):
    allowed_file = REPOSITORY / "plinth" / "installation.py"
    violations = [
        f"{path.relative_to(REPOSITORY)}:{line}: {text!r}"
        for path in _list_sources(room)
        for line, text in _read_strings(path)
        if path != allowed_file and path.name not in OTHER_INSTALLERS and _is_install_command(text)
    ]

    assert violations == []


@pytest.mark.parametrize("page", PAGES)
def test_no_page_installs_the_unrelated_project_named_plinth(page):
    text = (REPOSITORY / page).read_text()

    assert re.findall(r"(?<![\w.-])plinth\[|pip install ['\"]?plinth(?!-ml)\b", text) == []


@pytest.mark.parametrize(
    "text", ["pip install 'plinth[server]'", "Install plinth[server] first.", "pip install plinth", "pip  install x"]
)
def test_the_search_detects_a_command_in_a_message(text, tmp_path):
    module = tmp_path / "example.py"
    module.write_text(f'def hint(name):\n    return f"{{name}}: {text}"\n')

    assert [line for line, string in _read_strings(module) if _is_install_command(string)] == [2]


def _is_install_command(text: str) -> bool:
    return re.search(r"pip\s+install|(?<![\w-])plinth\[", text) is not None


def _list_sources(room: str) -> list[Path]:
    return sorted((REPOSITORY / room).rglob("*.py"))


def _read_strings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield string literals and fixed parts of f-strings, with their line numbers."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_users_get_no_tools_of_developers_and_any_supported_python() -> None:
    """All targets install the extra `server`; only `make setup` adds `dev`."""
    for target, has_tools in (("demo", False), ("up", False), ("install", False), ("setup", True)):
        command = ["make", "--dry-run", "--always-make", target]
        plan = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
        assert "--editable '.[server,heic]'" in plan, target
        assert ("'.[dev]'" in plan) is has_tools, target


@pytest.mark.parametrize("name", ["python3.12", "python3.14", "python3", "python"])
def test_a_supported_python_is_found_under_any_usual_name(tmp_path: Path, name: str) -> None:
    """Another program of a usual name, of an old version, is passed over."""
    for program, status in (("python3.13" if name == "python3" else "python3.11", 1), (name, 0)):
        (tmp_path / program).write_text(f"#!/bin/sh\nexit {status}\n")
        (tmp_path / program).chmod(0o755)
    for program in ("bash", "make"):
        (tmp_path / program).symlink_to(shutil.which(program))
    environment = {"PATH": str(tmp_path)}
    command = [str(tmp_path / "make"), "--dry-run", "--always-make", "VENV=absent", "install"]
    plan = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True).stdout
    assert f"|| {name} -m venv absent" in plan
