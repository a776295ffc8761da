"""The code of an exported folder imports itself and the packages of its README."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from ml.encoders import ENCODERS
from ml.learning.interchange import standalone_code
from ml.learning.interchange.standalone_code import REQUIREMENTS, copy_code, find_postprocessor, find_preprocessor
from ml.tasks import TASKS
from tests.support.repository import REPOSITORY

#: Encoders of targets alone have no inputs to encode.
PREPROCESSORS = [module for module in map(find_preprocessor, ENCODERS) if module is not None]


def imported_packages(code: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(code)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("task", list(TASKS))
def test_the_code_imports_itself_and_listed_packages_only(task: str, tmp_path: Path) -> None:
    requirements = copy_code(PREPROCESSORS, find_postprocessor(task), tmp_path)
    paths = list(tmp_path.rglob("*.py"))
    own = {"preprocess", "postprocess", "runtime"}
    for path in paths:
        third_party = imported_packages(path.read_text()) - sys.stdlib_module_names - own
        assert {REQUIREMENTS.get(package) for package in third_party} <= set(requirements), path
        for line in path.read_text().splitlines():
            if line.strip().startswith("from runtime."):
                module = line.split()[1]
                assert (tmp_path / f"{module.replace('.', '/')}.py").is_file(), f"{path}: {line}"


def test_images_audio_and_boxes_have_one_implementation(tmp_path: Path) -> None:
    copy_code(PREPROCESSORS, find_postprocessor("object_detection"), tmp_path)
    for source in (
        "ml/preprocessing/image_resizing.py",
        "ml/data/files/images.py",
        "ml/preprocessing/log_mel_frames.py",
        "ml/audio/spectrum.py",
        "ml/metrics/non_maximum_suppression.py",
    ):
        copy = tmp_path / "runtime" / Path(source).name
        lines = zip((REPOSITORY / source).read_text().splitlines(), copy.read_text().splitlines(), strict=True)
        assert all("import" in before for before, after in lines if before != after), source


def test_a_package_that_the_readme_could_not_list_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standalone_code, "REQUIREMENTS", {"numpy": "numpy", "onnxruntime": "onnxruntime"})
    with pytest.raises(ValueError, match="cannot import PIL"):
        copy_code(PREPROCESSORS, find_postprocessor("image_generation"), tmp_path)


def test_two_modules_of_one_name_are_an_error(tmp_path: Path) -> None:
    copy_code([], find_postprocessor("embedding"), tmp_path)
    with pytest.raises(ValueError, match=r"named run\.py"):
        copy_code([], find_postprocessor("embedding"), tmp_path)
