import sys

import pytest

from ml.encoders import ENCODERS
from ml.encoders.base import Encoder
from ml.errors import UnknownName
from ml.registry import Registry
from ml.tasks import TASKS


class Animal:
    name: str


@pytest.fixture
def folder(tmp_path, monkeypatch, request):
    """A package of its own for each test: what is imported once stays imported."""
    name = f"zoo_{request.node.name.replace('[', '_').replace(']', '')}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "base.py").write_text("raise AssertionError('the base is passed over')")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / name
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def animal(folder, name, *, called=None):
    source = f"from {__name__} import Animal\nclass Beast(Animal):\n    name = {called or name!r}\n"
    (folder / f"{name}.py").write_text(source)


def test_the_folder_is_the_list(folder):
    animal(folder, "dog")
    animal(folder, "cat")
    registry = Registry(folder.name, Animal)

    assert list(registry) == ["cat", "dog"]
    assert len(registry) == 2
    assert registry["dog"].name == "dog"
    assert issubclass(registry["dog"], Animal)


def test_a_module_without_its_class_is_our_mistake(folder):
    animal(folder, "dog", called="wolf")

    with pytest.raises(TypeError, match="must define exactly one Animal whose name is 'dog'"):
        Registry(folder.name, Animal)["dog"]


def test_an_unknown_name_lists_the_known_and_the_likeliest():
    with pytest.raises(
        UnknownName, match=r"there is no task named 'image_clasification'; known: .*image_generation"
    ) as caught:
        TASKS["image_clasification"]

    assert caught.value.hint == "Did you mean 'image_classification'?"


def test_the_kind_is_named_after_the_folder():
    with pytest.raises(UnknownName, match="there is no encoder named 'odour'"):
        ENCODERS["odour"]


def test_an_unknown_name_is_not_in_the_mapping():
    assert "image" in ENCODERS
    assert issubclass(ENCODERS["image"], Encoder)
