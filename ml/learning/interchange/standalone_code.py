"""Copying of the code of exported ONNX folders, and the modules that it imports."""

from __future__ import annotations

import ast
import re
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Final

from ml.learning.interchange import standalone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

#: Folder of the copied modules of `ml`.
RUNTIME: Final = "runtime"
#: Third-party module -> package to install. The copied code may import no other.
REQUIREMENTS: Final = {
    "onnxruntime": "onnxruntime",
    "numpy": "numpy",
    "PIL": "pillow",
    "soundfile": "soundfile",
    "tokenizers": "tokenizers",
}
_IMPORT: Final = re.compile(r"\bfrom (ml(?:\.\w+)*) import\b")


def find_preprocessor(encoder: str) -> ModuleType | None:
    """Return the module that encodes the inputs of an encoder; None if there is none."""
    name = f"{standalone.__name__}.preprocess.{encoder}"
    return import_module(name) if find_spec(name) else None


def find_postprocessor(task: str) -> ModuleType:
    """Return the module that makes the predictions of a task."""
    package = import_module(f"{standalone.__name__}.postprocess")
    modules = (import_module(f"{package.__name__}.{module.name}") for module in iter_modules(package.__path__))
    return next(module for module in modules if task in module.TASKS)


def copy_code(preprocessors: Sequence[ModuleType], postprocessor: ModuleType, folder: Path) -> list[str]:
    """Copy `run.py` and the modules, with all that they import, into `folder`.

    Returns the packages to install. Raises `ValueError` if they import a package that is not in `REQUIREMENTS`.
    """
    run = f"{standalone.__name__}.run"
    roots = [run, *(module.__name__ for module in preprocessors), postprocessor.__name__]
    names, packages = _collect_modules(roots)
    for name in names:
        source = _source_path(name)
        destination = folder / _destination(name, roots) / source.name
        if destination.exists():
            raise ValueError(f"two modules of an exported folder are named {source.name}; rename one of them")
        destination.parent.mkdir(exist_ok=True)
        destination.write_text(_rewrite_imports(source.read_text(encoding="utf-8")), encoding="utf-8")
    for kind in ("preprocess", "postprocess"):
        if (folder / kind).is_dir():
            init = Path(standalone.__file__).parent / kind / "__init__.py"
            (folder / kind / init.name).write_text(init.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / RUNTIME / "__init__.py").write_text('"""Code that the service runs, too."""\n', encoding="utf-8")
    return [package for module, package in REQUIREMENTS.items() if module in packages]


def _collect_modules(roots: Sequence[str]) -> tuple[list[str], set[str]]:
    """Return the modules of `ml` that `roots` import, directly or not, and the third-party modules."""
    names, packages = list(dict.fromkeys(roots)), set[str]()
    for name in names:  # grows meanwhile
        for module in _imported_modules(name):
            package = module.partition(".")[0]
            if package == "ml":
                names += [module] if module not in names else []
            elif package not in sys.stdlib_module_names:
                packages.add(package)
    if unknown := packages - REQUIREMENTS.keys():
        raise ValueError(f"an exported folder cannot import {', '.join(sorted(unknown))}; see REQUIREMENTS")
    return names, packages


def _imported_modules(name: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(_source_path(name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield f"{node.module}.{alias.name}" if _is_package(node.module) else node.module


def _destination(name: str, roots: Sequence[str]) -> str:
    """Return the subfolder for a module; "" for `run.py`."""
    if name not in roots:
        return RUNTIME
    return name.removeprefix(f"{standalone.__name__}.").rpartition(".")[0]


def _rewrite_imports(code: str) -> str:
    """Rewrite imports of `ml` to imports from the folder of copied modules."""

    def rewrite(match: re.Match[str]) -> str:
        module = RUNTIME if _is_package(match[1]) else f"{RUNTIME}.{match[1].rpartition('.')[2]}"
        return f"from {module} import"

    return _IMPORT.sub(rewrite, code)


def _is_package(name: str) -> bool:
    """Return whether a module of `ml` is a package; False for the modules of others."""
    spec = find_spec(name) if name.partition(".")[0] == "ml" else None
    return spec is not None and spec.submodule_search_locations is not None


def _source_path(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"the module {name} has no source file; write `from package import module` for modules")
    return Path(spec.origin)
