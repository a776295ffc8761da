import json
import subprocess
import sys
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from ml.config import Choice
from ml.package.manifest import Manifest
from ml.schedule import Schedule
from ml.signals import Feature, Signal
from ml.spec.catalog import Catalog
from ml.spec.check import check
from ml.spec.resolve import DEFAULTS, resolve
from ml.spec.schema import Finetune, Pretrain, Spec
from tests.support.ml import image_models

SPEC = TypeAdapter[Pretrain | Finetune](Spec)
CATALOG = Catalog.load()


def finetune(**changes: Any) -> Finetune:
    usual = {"kind": "finetune", "dataset": "d", "task": "image_classification", "architecture": "cnn", "model": "m"}
    spec = SPEC.validate_python({**usual, **changes})
    assert isinstance(spec, Finetune)
    return spec


def pretrain(**changes: Any) -> Pretrain:
    usual = {"kind": "pretrain", "dataset": "d", "objective": "contrastive_views", "architecture": "cnn", "model": "m"}
    spec = SPEC.validate_python({**usual, **changes})
    assert isinstance(spec, Pretrain)
    return spec


def base(*, architecture: str = "cnn", **encoder: int) -> Manifest:
    config = {"height": 8, "width": 8, "channels": 1, **encoder}
    return Manifest.model_validate(
        {
            "architectures": {"image": architecture},
            "encoders": {"image": {"name": "image", "config": config}},
            "parameters": 1,
        }
    )


def findings(spec, *, dataset=None, parent=None, catalog=CATALOG):
    return {(finding.code, finding.path) for finding in check(spec, catalog, dataset or image_models.summary(), parent)}


def messages(spec, **others):
    return [
        finding.message for finding in check(spec, CATALOG, others.pop("dataset", image_models.summary()), **others)
    ]


def test_a_tuning_that_does_not_fit_the_backbone_says_why_and_which_do() -> None:
    spec = finetune(tuning="prompt", architecture=None, start_from="b")
    (finding,) = check(spec, CATALOG, image_models.summary(), base())
    assert (finding.code, finding.path) == ("does_not_fit", "tuning")
    assert finding.message == "prompt does not fit cnn: it cannot read tokens that stand in no text"
    assert finding.expected == "full, gradual_unfreezing, head_only, lora, norms_only"


# What is right.


@pytest.mark.parametrize(
    "spec",
    [
        finetune(),
        finetune(architecture=None, architectures={"image": "vae"}),
        finetune(architecture={"name": "cnn", "config": {"preset": "medium", "hidden": 32}}),
        finetune(task={"name": "image_classification", "config": {"loss": "mean_squared_error"}}),
        finetune(task="image_generation", architecture="vae"),
        finetune(schedule={"optimizer": "sgd", "momentum": 0.9, "nesterov": True}),
        finetune(schedule={"early_stopping": {"monitor": "validation/accuracy"}}),
        finetune(encoders={"image": {"height": 16, "width": 16}}),
        pretrain(),
        pretrain(schedule={"early_stopping": {"monitor": "validation/contrastive_accuracy"}}),
        pretrain(objective="evidence_lower_bound", architecture="vae"),
        pretrain(objective="supervised"),
        pretrain(objective="supervised", task="image_classification"),
    ],
    ids=lambda spec: spec.model_dump_json(exclude_defaults=True),
)
def test_a_consistent_spec_is_accepted_and_resolved(spec):
    assert check(spec, CATALOG, image_models.summary()) == []

    resolved = resolve(spec, CATALOG, image_models.summary())

    assert check(resolved, CATALOG, image_models.summary()) == []
    assert resolve(resolved, CATALOG, image_models.summary()) == resolved
    assert SPEC.validate_json(resolved.model_dump_json(exclude_none=True)) == resolved


PHOTOS = {"image": {"channels": 3, "min_height": 240, "max_height": 240, "min_width": 320, "max_width": 320}}


def test_the_plan_has_the_size_at_which_large_images_are_read():
    photos = image_models.summary(facts=PHOTOS)
    resolved = resolve(finetune(), CATALOG, photos)
    assert resolved.encoders == {"image": {"height": 64, "width": 88}}
    assert resolve(resolved, CATALOG, photos) == resolved
    assert check(resolved, CATALOG, photos) == []
    larger = resolve(finetune(encoders={"image": {"height": 96, "width": 128}}), CATALOG, photos)
    assert larger.encoders == {"image": {"height": 96, "width": 128}}
    assert resolve(finetune(), CATALOG, image_models.summary()).encoders == {}
    assert resolve(finetune(architecture=None, start_from="b"), CATALOG, photos, base()).encoders == {}


@pytest.mark.parametrize("tuning", ["full", "head_only"])
def test_a_base_model_brings_its_backbone(tuning):
    spec = finetune(architecture=None, start_from="base", tuning=tuning)

    assert findings(spec, parent=base()) == set()
    resolved = resolve(spec, CATALOG, image_models.summary(), base())
    assert resolved.architectures == {}
    assert resolved.schedule.learning_rate == CATALOG.architectures["cnn"].recipe.learning_rate
    assert findings(resolved, parent=base()) == set()


def test_facts_that_are_not_available_yet_are_not_judged():
    assert check(finetune(architecture=None, start_from="being trained"), CATALOG) == []
    assert check(pretrain(objective="supervised"), CATALOG) == []


# Names and options.


def test_everything_wrong_is_reported_at_once():
    spec = finetune(
        task={"name": "image_classification", "config": {"los": "x"}},
        architecture={"name": "cnn", "config": {"preset": "smal", "hidden": -1, "depth": 3}},
        tuning="lora2",
        schedule={"optimizer": "adam", "momentum": 0.9, "early_stopping": {"monitor": "validation/f1"}},
        encoders={"image": {"height": 0}, "sound": {}},
    )

    assert findings(spec, dataset=image_models.summary(classes=["one"])) == {
        ("unknown_name", "task.config.los"),
        ("unknown_name", "architecture.config.preset"),
        ("invalid_option", "architecture.config.hidden"),
        ("unknown_name", "architecture.config.depth"),
        ("unknown_name", "tuning"),
        ("conflict", "schedule.momentum"),
        ("unknown_name", "schedule.early_stopping.monitor"),
        ("invalid_option", "encoders.image.height"),
        ("unknown_name", "encoders.sound"),
        ("unfit_dataset", "dataset"),
    }


@pytest.mark.parametrize(
    ("changes", "path", "hint"),
    [
        ({"task": "image_clasification"}, "task", "image_classification"),
        ({"architecture": "cn"}, "architecture", "cnn"),
        ({"architecture": None, "architectures": {"image": "cn"}}, "architectures.image", "cnn"),
        ({"tuning": "head_onl"}, "tuning", "head_only"),
        (
            {"schedule": {"early_stopping": {"monitor": "validation/acuracy"}}},
            "schedule.early_stopping.monitor",
            "validation/accuracy",
        ),
        ({"architecture": {"name": "cnn", "config": {"preset": "smal"}}}, "architecture.config.preset", "small"),
        ({"architecture": {"name": "cnn", "config": {"hiden": 1}}}, "architecture.config.hiden", "hidden"),
    ],
)
def test_an_unknown_name_lists_the_known_and_the_likeliest(changes, path, hint):
    finding = next(item for item in check(finetune(**changes), CATALOG) if item.path == path)

    assert finding.code == "unknown_name"
    assert finding.hint == f"Did you mean {hint!r}?"
    assert hint in (finding.expected or "")
    assert f"known: {finding.expected}" in finding.message


def test_an_unknown_objective_lists_the_known():
    (message,) = messages(pretrain(objective="magic"))

    assert message.startswith("there is no objective named 'magic'; known: ")


@pytest.mark.parametrize(
    "config",
    [
        {"hidden": "many"},
        {"hidden": 1e30},
        {"stages": [["x"]]},
        {"stages": []},
        {"stages": [[]]},
        {"stages": [[16], [0]]},
        {"stages": [[100_000_000]]},
        {"normalize": None},
        {"pooling": 7},
    ],
)
def test_an_option_of_the_wrong_kind_is_refused_without_torch(config):
    findings = check(finetune(architecture={"name": "cnn", "config": config}), CATALOG)

    assert {finding.code for finding in findings} == {"invalid_option"}
    assert all((finding.path or "").startswith(f"architecture.config.{next(iter(config))}") for finding in findings)


def test_a_long_wrong_value_is_not_repeated_in_full():
    (finding,) = check(finetune(architecture={"name": "cnn", "config": {"hidden": "x" * 100_000}}), CATALOG)

    assert len(finding.message) < 400


# What fits what.


def test_a_pair_that_does_not_fit_says_why():
    assert messages(finetune(task="image_generation")) == ["image_generation needs latent; cnn gives pooled, maps"]
    reason = "evidence_lower_bound needs latent; cnn gives pooled, maps"
    assert messages(pretrain(objective="evidence_lower_bound")) == [reason]


def test_a_base_model_that_does_not_fit_says_why():
    spec = finetune(task="image_generation", architecture=None, start_from="base")

    (finding,) = check(spec, CATALOG, image_models.summary(), base())

    assert (finding.code, finding.path) == ("does_not_fit", "start_from")
    assert finding.message == "image_generation needs latent; cnn gives pooled, maps"


@pytest.mark.parametrize("tuning", ["full", "head_only"])
def test_a_base_model_of_which_nothing_could_be_kept_is_refused(tuning):
    spec = finetune(task="text_classification", architecture=None, start_from="base", tuning=tuning)
    texts = image_models.summary(columns={"text": "text", "label": "label"})

    (finding,) = check(spec, CATALOG, texts, base())

    assert (finding.code, finding.path) == ("does_not_fit", "start_from")
    assert finding.message == "nothing of base can be used: it reads image, text_classification reads text"


def test_a_spec_without_an_architecture_gets_the_default():
    spec = finetune(architecture=None)
    assert check(spec, CATALOG) == []
    assert resolve(spec, CATALOG) == resolve(finetune(architecture="cnn"), CATALOG)
    drawing = finetune(task="image_generation", architecture=None)
    assert resolve(drawing, CATALOG).architectures["image"].name == "vae"


def test_nothing_to_build_is_missing_where_nothing_is_usual():
    task = CATALOG.tasks["image_classification"]
    bare = {slot: entry.model_copy(update={"default_architecture": None}) for slot, entry in task.slots.items()}
    tasks = {**CATALOG.tasks, task.name: task.model_copy(update={"slots": bare})}
    (finding,) = check(finetune(architecture=None), CATALOG.model_copy(update={"tasks": tasks}))
    assert (finding.code, finding.path) == ("missing", "architecture")
    fitting = [name for name, reason in CATALOG.fits.tasks[task.name]["image"].items() if reason is None]
    assert finding.expected == ", ".join(fitting)


def test_a_base_model_and_an_architecture_are_one_too_many():
    assert findings(finetune(start_from="base"), parent=base()) == {("conflict", "architecture")}
    spec = finetune(architecture=None, architectures={"image": "vae"}, start_from="base")
    assert findings(spec, parent=base()) == {("conflict", "architectures.image")}


def test_short_and_long_form_together_are_a_conflict():
    assert findings(finetune(architectures={"image": "vae"})) == {("conflict", "architecture")}


def test_an_unknown_slot_lists_the_known():
    spec = finetune(architecture=None, architectures={"image": "cnn", "text": "cnn"})

    assert messages(spec) == ["there is no slot named 'text'; known: image"]


def two_slots() -> Catalog:
    """Make a catalog whose task has two slots with different needs."""
    task = CATALOG.tasks["image_classification"]
    slot = task.slots["image"]
    slots = {"left": slot, "right": slot.model_copy(update={"needs": [Feature.LATENT], "default_architecture": None})}
    tasks = {**CATALOG.tasks, "image_classification": task.model_copy(update={"slots": slots})}
    return CATALOG.model_copy(update={"tasks": tasks})


def like_slots() -> Catalog:
    """Make a catalog whose task has two slots that fit every image backbone."""
    task = CATALOG.tasks["image_classification"]
    slot = task.slots["image"]
    tasks = {
        **CATALOG.tasks,
        "image_classification": task.model_copy(update={"slots": {"left": slot, "right": slot}}),
    }
    return CATALOG.model_copy(update={"tasks": tasks})


def test_with_two_slots_each_wants_its_own_backbone():
    assert findings(finetune(), catalog=two_slots()) == {("conflict", "architecture"), ("does_not_fit", "architecture")}
    apart = finetune(architecture=None, architectures={"left": "cnn", "right": "vae"})
    assert findings(apart, catalog=two_slots()) == set()
    half = finetune(architecture=None, architectures={"left": "cnn"})
    assert findings(half, catalog=two_slots()) == {("missing", "architectures.right")}
    assert resolve(apart, two_slots()).schedule.learning_rate == CATALOG.architectures["cnn"].recipe.learning_rate


def test_a_signal_that_is_not_read_is_named():
    sound = CATALOG.architectures["cnn"].model_copy(update={"accepts": [Signal.FRAMES]})
    catalog = CATALOG.model_copy(update={"architectures": {**CATALOG.architectures, "cnn": sound}})

    (finding,) = check(finetune(), catalog)

    assert finding.message == "image_classification reads image; cnn reads frames"


# Base models.


def test_a_tuning_that_needs_a_base_is_refused_without():
    assert findings(finetune(tuning="head_only")) == {("needs_base", "tuning")}


def test_color_on_a_gray_base_is_refused():
    spec = finetune(architecture=None, start_from="base")
    color = image_models.summary(facts={"image": {"channels": 3}})

    (finding,) = check(spec, CATALOG, color, base(channels=1))

    assert finding.message == "start_from reads gray images, and these are in color"
    assert check(spec, CATALOG, color, base(channels=3)) == []
    assert check(spec, CATALOG, image_models.summary(), base(channels=3)) == []


def test_the_encoder_of_a_base_cannot_be_changed():
    spec = finetune(architecture=None, start_from="base", encoders={"image": {"height": 4}})

    assert findings(spec, parent=base()) == {("conflict", "encoders.image")}


def by_slot(**start_from):
    return finetune(architecture=None, start_from=start_from)


def two_sided_base(*slots):
    manifest = base()
    (image,) = manifest.architectures.values()
    (encoder,) = manifest.encoders.values()
    return manifest.model_copy(
        update={"architectures": dict.fromkeys(slots, image), "encoders": dict.fromkeys(slots, encoder)}
    )


def test_each_slot_may_start_from_a_model_of_its_own():
    catalog = like_slots()
    parents = {"left": two_sided_base("left"), "right": two_sided_base("left", "right")}
    spec = by_slot(left="one", right="two@3")

    assert findings(spec, catalog=catalog, parent=parents) == set()
    assert findings(spec, catalog=catalog) == set()
    resolved = resolve(spec, catalog, image_models.summary(), parents)
    assert resolved.start_from == {"left": "one", "right": "two@3"}
    assert resolved.schedule.learning_rate == CATALOG.architectures["cnn"].recipe.learning_rate


def test_one_slot_may_start_from_a_model_and_the_other_at_random():
    spec = finetune(architecture=None, start_from={"left": "one"}, architectures={"right": "cnn"})

    assert findings(spec, catalog=like_slots(), parent={"left": two_sided_base("left", "right")}) == set()
    usual = resolve(by_slot(left="one"), like_slots(), image_models.summary(), {"left": two_sided_base("left")})
    assert {slot: architecture.name for slot, architecture in usual.architectures.items()} == {"right": "cnn"}


def test_a_model_without_the_slot_it_was_named_for_is_refused():
    spec = by_slot(left="one", right="two", middle="three")
    parents = dict.fromkeys(("left", "right", "middle"), two_sided_base("left"))

    reasons = [(item.path, item.message) for item in check(spec, like_slots(), image_models.summary(), parents)]

    assert reasons == [
        ("start_from.middle", "there is no slot named 'middle'; known: left, right"),
        ("start_from.right", "two has no backbone for right; it reads left with cnn, whose layers all depend on that"),
    ]


# Data.


def test_a_dataset_without_labels_says_what_it_has():
    unlabelled = image_models.summary(columns={"image": "image"}, classes=None, task=None)

    reasons = messages(finetune(), dataset=unlabelled)

    assert "image_classification needs a column 'label' of type label; the dataset has image (image)" in reasons
    assert messages(pretrain(), dataset=unlabelled) == []


def test_an_objective_that_needs_labels_refuses_data_without():
    unlabelled = image_models.summary(columns={"image": "image"}, classes=None)

    assert findings(pretrain(objective="supervised"), dataset=unlabelled) == {("unfit_dataset", "dataset")}


def test_an_objective_that_trains_a_task_must_know_which():
    nameless = image_models.summary(task=None)

    assert findings(pretrain(objective="supervised"), dataset=nameless) == {("missing", "task")}
    resolved = resolve(pretrain(objective="supervised"), CATALOG, image_models.summary())
    assert resolved.task is not None
    assert resolved.task.name == "image_classification"


def test_an_objective_without_labels_takes_no_task():
    assert findings(pretrain(task="image_classification")) == {("conflict", "task")}


def test_an_objective_refuses_data_it_cannot_read():
    words = image_models.summary(columns={"text": "text"}, splits={})

    assert messages(pretrain(), dataset=words) == [
        "contrastive_views needs a column 'image' of type image; the dataset has text",
        "the dataset has no rows to train on; the minimum is 3",
    ]


@pytest.mark.parametrize("spec", [finetune(), pretrain()])
def test_too_few_rows_to_learn_or_judge_are_refused(spec):
    def reasons(**splits: int) -> list[str]:
        return messages(spec, dataset=image_models.summary(splits=splits))

    assert reasons(train=2) == ["the dataset has 2 rows to train on; the minimum is 3"]
    assert reasons(train=1, validation=1) == ["the dataset has 1 rows to train on; the minimum is 2"]
    assert reasons(train=3) == reasons(train=2, validation=1) == []


# Schedules.


def test_momentum_belongs_to_sgd():
    assert findings(finetune(schedule={"momentum": 0.5})) == {("conflict", "schedule.momentum")}
    spec = finetune(schedule={"optimizer": "sgd", "momentum": 0, "nesterov": True})
    assert findings(spec) == {("conflict", "schedule.nesterov")}


def test_parts_of_a_batch_divide_its_size() -> None:
    (finding,) = check(finetune(schedule={"batch_size": 100, "accumulate": 8}), CATALOG)
    assert (finding.code, finding.path) == ("conflict", "schedule.accumulate")
    assert "Set schedule.batch_size to 96 or 104" in finding.hint
    assert check(finetune(schedule={"batch_size": 104, "accumulate": 8}), CATALOG) == []


def test_devices_divide_a_batch_with_its_parts() -> None:
    (finding,) = check(finetune(schedule={"batch_size": 100}, devices=3), CATALOG)
    assert (finding.code, finding.path) == ("conflict", "devices")
    assert "100 rows cannot be divided into 3 equal parts" in finding.message
    (finding,) = check(finetune(schedule={"batch_size": 100, "accumulate": 2}, devices=3), CATALOG)
    assert (finding.path, finding.found) == ("schedule.accumulate", "6")
    assert resolve(finetune(devices=3), CATALOG).schedule.batch_size % 3 == 0
    # How many there are, the worker knows.
    assert check(finetune(schedule={"batch_size": 101}, devices="all"), CATALOG) == []


def test_a_training_runs_on_one_machine() -> None:
    with pytest.raises(ValidationError, match="a training runs on one machine: set devices"):
        finetune(nodes=2)
    assert check(finetune(nodes=1), CATALOG) == []


def test_a_batch_size_of_a_recipe_is_lowered_to_what_the_parts_divide() -> None:
    size = resolve(finetune(), CATALOG).schedule.batch_size
    assert resolve(finetune(schedule={"accumulate": 3}), CATALOG).schedule.batch_size == size - size % 3 < size
    # Few rows come in smaller batches, which the parts divide as well.
    assert resolve(finetune(schedule={"accumulate": 3}), CATALOG).schedule.batch_rows(100, parts=3) == 12


def test_the_user_goes_before_the_recipe_and_that_before_the_default():
    recipe = CATALOG.architectures["cnn"].recipe

    schedule = resolve(finetune(schedule={"epochs": 3}), CATALOG).schedule

    assert schedule.epochs == 3
    assert schedule.learning_rate == recipe.learning_rate
    assert schedule.decay == recipe.decay
    assert schedule.precision == DEFAULTS.precision
    assert schedule.early_stopping is None


def test_named_epochs_and_batches_are_used_however_few_the_rows():
    usual = resolve(finetune(), CATALOG)
    assert (usual.schedule.min_steps, usual.schedule.min_batches_per_epoch) == (
        DEFAULTS.min_steps,
        DEFAULTS.min_batches_per_epoch,
    )
    assert resolve(usual, CATALOG) == usual

    epochs = resolve(finetune(schedule={"epochs": CATALOG.architectures["cnn"].recipe.epochs}), CATALOG)
    assert (epochs.schedule.min_steps, epochs.schedule.min_batches_per_epoch) == (None, DEFAULTS.min_batches_per_epoch)
    assert resolve(epochs, CATALOG) == epochs

    batches = resolve(finetune(schedule={"batch_size": 128}), CATALOG).schedule
    assert (batches.min_steps, batches.min_batches_per_epoch) == (DEFAULTS.min_steps, None)
    speech = {"task": "speech_recognition", "dataset": "words"}
    assert (
        resolve(finetune(**speech), CATALOG).schedule.max_steps == CATALOG.tasks["speech_recognition"].recipe.max_steps
    )
    assert resolve(finetune(**speech, schedule={"epochs": 3}), CATALOG).schedule.max_steps is None
    both = resolve(finetune(schedule={"epochs": 3, "min_steps": 7}), CATALOG).schedule
    assert (both.epochs, both.min_steps) == (3, 7)


def test_a_tasks_recipe_goes_before_the_architectures():
    task = CATALOG.tasks["image_classification"].model_copy(update={"recipe": Schedule(epochs=77)})
    catalog = CATALOG.model_copy(update={"tasks": {**CATALOG.tasks, "image_classification": task}})

    schedule = resolve(finetune(), catalog).schedule

    assert schedule.epochs == 77
    assert schedule.learning_rate == CATALOG.architectures["cnn"].recipe.learning_rate


def test_a_recipe_for_a_signal_goes_before_that_of_the_architecture():
    transformer = CATALOG.architectures["transformer"]
    images = transformer.signal_recipes["image"]

    of_images = resolve(finetune(architecture="transformer"), CATALOG).schedule
    of_texts = resolve(finetune(architecture="transformer", task="text_classification"), CATALOG).schedule

    assert (of_images.epochs, of_images.learning_rate) == (images.epochs, images.learning_rate)
    assert of_images.gradient_clip_norm == transformer.recipe.gradient_clip_norm
    assert of_texts.learning_rate == transformer.recipe.learning_rate


def test_a_training_from_a_base_takes_smaller_steps_by_default():
    bert = CATALOG.architectures["bert"]
    assert bert.base_recipe.learning_rate < bert.recipe.learning_rate
    own = Manifest.model_validate({"architectures": {"text": "bert"}, "encoders": {}, "parameters": 1})
    request = {"task": "text_classification", "start_from": "base", "architecture": None}
    schedule = resolve(finetune(**request), CATALOG, base=own).schedule
    assert schedule.learning_rate == bert.base_recipe.learning_rate
    assert schedule.gradient_clip_norm == bert.recipe.gradient_clip_norm
    reasons = resolve(finetune(**request, schedule={"epochs": 7}), CATALOG, base=own).schedule
    assert (reasons.epochs, reasons.learning_rate) == (7, bert.base_recipe.learning_rate)
    frozen = resolve(finetune(**request, tuning="head_only"), CATALOG, base=own).schedule
    assert frozen.learning_rate != bert.base_recipe.learning_rate
    scratch = resolve(finetune(task="text_classification", architecture="bert"), CATALOG).schedule
    assert scratch.learning_rate == bert.recipe.learning_rate


def test_a_tuning_raises_the_rate_of_recipes_but_not_that_of_the_user():
    own = Manifest.model_validate({"architectures": {"text": "bert"}, "encoders": {}, "parameters": 1})
    request = {"task": "text_classification", "start_from": "base", "architecture": None, "tuning": "lora"}
    least, usual = CATALOG.tunings["lora"].min_learning_rate, CATALOG.architectures["cnn"].recipe.learning_rate
    assert CATALOG.architectures["bert"].recipe.learning_rate < least < usual

    raised = resolve(finetune(**request), CATALOG, base=own)
    assert raised.schedule.learning_rate == least
    assert resolve(raised, CATALOG, base=own) == raised
    slow = resolve(finetune(**request, schedule={"learning_rate": least / 2}), CATALOG, base=own)
    assert slow.schedule.learning_rate == least / 2
    quick = resolve(finetune(start_from="base", architecture=None, tuning="lora"), CATALOG, base=base())
    assert quick.schedule.learning_rate == usual


def test_an_objectives_recipe_goes_before_the_architectures():
    own = Schedule(learning_rate=0.123, optimizer=CATALOG.architectures["cnn"].recipe.optimizer)
    objective = CATALOG.objectives["contrastive_views"].model_copy(update={"recipe": own})
    catalog = CATALOG.model_copy(update={"objectives": {**CATALOG.objectives, "contrastive_views": objective}})

    schedule = resolve(pretrain(), catalog).schedule

    assert schedule.learning_rate == 0.123
    assert schedule.batch_size == CATALOG.architectures["cnn"].recipe.batch_size


def test_a_recipes_rate_is_not_given_to_another_optimizer():
    recipe = CATALOG.architectures["cnn"].recipe
    assert recipe.optimizer == "adamw"

    schedule = resolve(finetune(schedule={"optimizer": "sgd"}), CATALOG).schedule

    assert (schedule.learning_rate, schedule.momentum) == (0.05, 0.9)
    assert schedule.decay == recipe.decay
    adam = resolve(finetune(schedule={"optimizer": "adam", "learning_rate": 0.001}), CATALOG).schedule
    assert (adam.learning_rate, adam.weight_decay) == (0.001, 0.0)


def test_a_recipes_warm_up_is_not_given_to_another_decay():
    recipe = CATALOG.architectures["vae"].recipe
    assert recipe.decay == "cosine"
    assert recipe.warmup_fraction is not None

    spec = finetune(task="image_generation", architecture="vae", schedule={"decay": "constant"})

    assert resolve(spec, CATALOG).schedule.warmup_fraction is None


def test_resolving_fills_every_option():
    spec = finetune(architecture={"name": "cnn", "config": {"preset": "medium", "hidden": 5}})

    resolved = resolve(spec, CATALOG)

    medium = CATALOG.architectures["cnn"].presets["medium"].config
    assert resolved.architecture is None
    assert resolved.architectures == {"image": Choice(name="cnn", config={**medium, "hidden": 5})}
    assert resolved.task.config.keys() == CATALOG.tasks["image_classification"].config_schema["properties"].keys()


@pytest.mark.parametrize(("rows", "preset"), [(9_999, "small"), (10_000, "fast")])
def test_the_default_preset_depends_on_the_rows_unless_an_option_is_set(rows: int, preset: str) -> None:
    dataset = image_models.summary(splits={"train": rows})
    presets = CATALOG.architectures["cnn"].presets
    for spec in (finetune(architecture=None), finetune(architecture="cnn")):
        assert resolve(spec, CATALOG, dataset).architectures["image"].config == presets[preset].config
        assert resolve(spec, CATALOG, dataset).schedule.epochs == {"small": 5, "fast": 7}[preset]
    for options in ({"preset": "small"}, {"hidden": 0}):
        spec = finetune(architecture={"name": "cnn", "config": options})
        assert resolve(spec, CATALOG, dataset).architectures["image"].config == presets["small"].config


# The form.


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "distil"},
        {"model": "a/b"},
        {"model": ""},
        {"model": "x" * 101},
        {"model": "name@3"},
        {"seed": -1},
        {"schedule": {"epochs": 0}},
        {"schedule": {"epoch": 3}},
        {"schedule": {"learning_rate": float("nan")}},
        {"schedule": {"batch_size": 10**9}},
        {"surprise": 1},
        {"task": 3},
        {"architecture": {"config": {}}},
    ],
    ids=str,
)
def test_a_field_without_a_place_is_refused(changes):
    with pytest.raises(ValidationError):
        finetune(**changes)


def test_a_bare_name_is_short_for_a_choice():
    assert finetune(tuning="full").tuning == finetune(tuning={"name": "full", "config": {}}).tuning


def test_the_schema_takes_both_forms():
    schema = SPEC.json_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    short = {"kind": "finetune", "dataset": "d", "task": "image_classification", "model": "m"}
    assert validator.is_valid(short)
    assert validator.is_valid({**short, "task": {"name": "image_classification"}})
    assert not validator.is_valid({**short, "seed": "x"})
    json.dumps(schema)


def test_checking_needs_no_torch():
    script = """
import sys
from pydantic import TypeAdapter
from ml.spec.catalog import Catalog
from ml.spec.check import check
from ml.spec.schema import Spec
spec = {"kind": "finetune", "dataset": "d", "task": "image_classification", "architecture": "cnn", "model": "m"}
assert check(TypeAdapter(Spec).validate_python(spec), Catalog.load()) == []
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
