"""A base model's architecture may be named again, with larger options that can grow."""

from typing import Any

import pytest

from ml.config import Choice
from ml.spec.catalog import Catalog
from ml.spec.growth import check_growth, grow_choice

CATALOG = Catalog.load()
CNN = Choice(name="cnn", config=CATALOG.architectures["cnn"].presets["small"].config)
TRANSFORMER = Choice(name="transformer", config=CATALOG.architectures["transformer"].presets["small"].config)
AFTER = Choice(name="transformer", config={**TRANSFORMER.config, "norm": "after"})

IMPORTED = Choice(
    name="gpt", config={**CATALOG.architectures["gpt"].presets["small"].config, "options": {"layer_types": ["full"]}}
)


def problems(base: Choice, name: str, config: dict[str, Any]) -> list[tuple[str, str | None]]:
    choice, entry = Choice(name=name, config=config), CATALOG.architectures[base.name]
    findings = check_growth(choice, base, entry, slot="s", path="architecture")
    return [(finding.message, finding.hint) for finding in findings]


@pytest.mark.parametrize(
    ("base", "config"),
    [
        (CNN, {"stages": [[16, 20], [32, 32], [64]]}),
        (CNN, {"preset": "small", "stages": [[17, 16], [32, 32], [64]]}),
        (TRANSFORMER, {"layers": 3}),
        (TRANSFORMER, {"layers": 3, "feed_forward": 1024}),
        (AFTER, {"feed_forward": 1024}),
    ],
)
def test_larger_options_are_allowed_and_the_others_stay(base: Choice, config: dict[str, Any]) -> None:
    assert problems(base, base.name, {key: value for key, value in config.items() if key != "preset"}) == []
    options = {key: value for key, value in config.items() if key != "preset"}
    grown = grow_choice(Choice(name=base.name, config=config), base, CATALOG.architectures[base.name])
    assert grown.config == {**base.config, **options}


@pytest.mark.parametrize(
    ("base", "name", "config", "message"),
    [
        (CNN, "cnn", {}, "start_from already has the backbone cnn for s"),
        (CNN, "resnet", {"width": 8}, "start_from already has the backbone cnn for s"),
        (CNN, "cnn", {"stages": [[16, 16], [32, 32], [63]]}, "stages must be larger than"),
        (CNN, "cnn", {"stages": [[16, 16], [32, 32], [64], [64]]}, ", with as many layers"),
        (CNN, "cnn", {"preset": "medium"}, "stages must be larger than"),
        (CNN, "cnn", {"hidden": 8}, "hidden is 0, and a layer cannot be added"),
        (CNN, "cnn", {"normalize": False}, "normalize must stay True"),
        (CNN, "cnn", {"preset": ["no", "name"]}, "start_from already has the backbone cnn for s"),
        (TRANSFORMER, "transformer", {"width": 256}, "width must stay 128"),
        (TRANSFORMER, "transformer", {"layers": 1}, "layers must be larger than 2"),
        (IMPORTED, "gpt", {"layers": 5}, "larger layers need options {}"),
        (AFTER, "transformer", {"layers": 3}, "larger layers need norm before, not after"),
    ],
)
def test_an_architecture_that_cannot_grow_is_refused_with_those_that_can(
    base: Choice, name: str, config: dict[str, Any], message: str
) -> None:
    ((actual, hint),) = problems(base, name, config)
    assert message in actual
    assert hint is not None
    assert f"name {base.name} with larger values of: {', '.join(CATALOG.architectures[base.name].growable)}" in hint
