"""A base model of another signal brings its body, under its own sizes."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from ml.errors import Finding
from ml.package.manifest import Manifest
from ml.spec.catalog import Catalog
from ml.spec.check import check
from ml.spec.resolve import resolve
from ml.spec.schema import Spec
from tests.support.ml import image_models

CATALOG = Catalog.load()
SMALL = CATALOG.architectures["transformer"].presets["small"].config
TEXT = {"name": "text", "config": {"vocabulary": 40, "max_length": 8}}


def manifest(*slots: str, architecture: str = "transformer") -> Manifest:
    config = CATALOG.architectures[architecture].presets["small"].config
    return Manifest.model_validate(
        {
            "architectures": {slot: {"name": architecture, "config": config} for slot in slots},
            "encoders": dict.fromkeys(slots, TEXT),
            "parameters": 1,
        }
    )


def spec(**fields: Any) -> Any:
    usual = {"kind": "finetune", "dataset": "d", "task": "image_classification", "model": "m"}
    return TypeAdapter[Spec](Spec).validate_python({**usual, "start_from": {"image": "text-base"}, **fields})


def problems(request: Any, base: Manifest) -> list[Finding]:
    manifests = {"image": base} if isinstance(request.start_from, dict) else base
    return check(request, CATALOG, image_models.summary(), manifests)


@pytest.mark.parametrize("tuning", ["norms_only", "full", "lora", "head_only"])
def test_a_body_of_texts_starts_a_model_of_images(tuning: str) -> None:
    request, base = spec(tuning=tuning), manifest("text")
    assert problems(request, base) == []
    resolved = resolve(request, CATALOG, image_models.summary(), {"image": base})
    assert resolved.architectures == {}  # that of the base
    assert resolved.schedule.epochs == CATALOG.architectures["transformer"].signal_recipes["image"].epochs
    assert resolve(resolved, CATALOG, image_models.summary(), {"image": base}) == resolved


def test_options_of_the_stem_are_free() -> None:
    options = {"patch": 4, "class_token": True, "dropout": 0.0, "causal": True, "width": SMALL["width"]}
    request, base = spec(architectures={"image": {"name": "transformer", "config": options}}), manifest("text")
    assert problems(request, base) == []
    resolved = resolve(request, CATALOG, image_models.summary(), {"image": base})
    assert resolved.architectures["image"].config == {**SMALL, **options}


def test_a_body_of_another_size_is_refused_with_what_to_set() -> None:
    request = spec(architectures={"image": {"name": "transformer", "config": {"preset": "vit_tiny"}}})
    (problem,) = problems(request, manifest("text"))
    assert (problem.code, problem.path) == ("conflict", "architectures.image")
    needed = "width 128, layers 2, heads 4, feed_forward 512, activation relu"
    own = "width 192, layers 12, heads 3, feed_forward 768, activation gelu"
    assert problem.message == f"the body of text-base has {needed}, and the architecture named for image has {own}"
    assert problem.hint == f"Leave these options out, or set {needed}."


def test_another_architecture_cannot_use_the_body() -> None:
    (problem,) = problems(spec(architectures={"image": "cnn"}), manifest("text"))
    assert problem.message == "start_from brings the body of a transformer for image, which cnn cannot use"


def test_an_architecture_without_a_body_is_refused_with_those_that_have_one() -> None:
    first, *_ = problems(spec(), manifest("text", architecture="rnn"))
    assert (first.code, first.path) == ("does_not_fit", "start_from.image")
    assert first.message.startswith("text-base has no backbone for image; it reads text with rnn")
    assert first.hint == "Name a base model with a body that crosses: transformer."


def test_no_body_is_chosen_from_a_model_with_several_other_slots() -> None:
    first, *_ = problems(spec(), manifest("text", "audio"))
    assert first.message == "text-base has no backbone for image; it has text, audio"
    assert first.hint is not None
    assert "single slot" in first.hint


def test_a_model_named_without_a_slot_says_how_to_take_its_body() -> None:
    (problem,) = problems(spec(start_from="text-base"), manifest("text"))
    assert problem.message == "nothing of text-base can be used: it reads text, image_classification reads image"
    assert problem.hint is not None
    assert problem.hint.endswith('{"image": "text-base"}.')
