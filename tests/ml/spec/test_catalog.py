import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator

from ml.spec.catalog import PATH, Catalog
from tools.build_catalog import catalog as written_down


@pytest.fixture(scope="module")
def catalog():
    return Catalog.load()


def test_the_file_holds_what_the_registries_hold():
    assert PATH.read_text() == written_down().text(), "run `make catalog`"


def test_every_schema_is_one(catalog):
    entries = (catalog.tasks, catalog.architectures, catalog.objectives, catalog.tunings, catalog.heads)
    for entry in (entry for group in entries for entry in group.values()):
        Draft202012Validator.check_schema(entry.config_schema)


def test_every_example_is_of_its_schema(catalog):
    for task in catalog.tasks.values():
        Draft202012Validator(task.input_schema).validate(task.example_input)
        Draft202012Validator(task.output_schema).validate(task.example_output)


def test_every_preset_fills_every_option(catalog):
    for architecture in catalog.architectures.values():
        assert architecture.presets
        options = set(architecture.config_schema["properties"]) - {"preset"}
        for name, preset in architecture.presets.items():
            assert preset.config.keys() == options, f"{architecture.name} {name}"
            assert preset.parameters > 0
            Draft202012Validator(architecture.config_schema).validate({**preset.config, "preset": name})


def test_every_task_has_its_head_and_a_backbone_that_fits(catalog):
    for name, task in catalog.tasks.items():
        assert task.head in catalog.heads
        for reasons in catalog.fits.tasks[name].values():
            assert None in reasons.values(), f"nothing fits {name}"


def test_fits_are_computed_both_ways(catalog):
    fits = catalog.fits

    assert fits.tasks["image_classification"]["image"]["cnn"] is None
    reason = "image_generation needs latent; cnn gives pooled, maps"
    assert fits.tasks["image_generation"]["image"]["cnn"] == reason
    assert fits.objectives["evidence_lower_bound"]["image"]["vae"] is None


def test_every_slot_has_a_usual_architecture_and_it_fits(catalog):
    for owners, reasons in ((catalog.tasks, catalog.fits.tasks), (catalog.objectives, catalog.fits.objectives)):
        for name, owner in owners.items():
            for slot, entry in owner.slots.items():
                assert reasons[name][slot].get(entry.default_architecture, "is not named") is None, (
                    f"{name} {slot}: {entry.default_architecture}"
                )


def test_the_served_catalog_says_what_fits_and_the_file_does_not(catalog):
    assert "fits" in catalog.model_dump()
    assert '"fits"' not in catalog.text()


def test_reading_it_needs_no_torch():
    script = "import sys; from ml.spec.catalog import Catalog; Catalog.load().fits; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
