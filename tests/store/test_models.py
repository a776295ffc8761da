"""References, aliases and deletion of models."""

from __future__ import annotations

import pytest

from store import jobs, models
from store.database import transaction
from store.errors import Conflict, NotFound, PreconditionFailed
from store.ids import new_id
from store.models import NewModel
from store.tables import JobKind, Model

pytestmark = pytest.mark.usefixtures("database")


def register_model(name: str = "digits") -> Model:
    with transaction() as session:
        job = jobs.submit(session, kind=JobKind.FINETUNE, spec={}, model_name=name)
    with transaction() as session:
        claim = jobs.claim(session, job.id, worker="w")
        assert claim is not None
        model_id = new_id("mdl")
        new_model = NewModel(
            id=model_id,
            name=name,
            task="image_classification",
            architectures={"image": "cnn"},
            parameters=35_674,
            bytes=292_581,
            metrics={"test/accuracy": 0.99},
            labels=["0", "1"],
            formats=["safetensors", "onnx"],
            files=[{"path": "weights.safetensors", "bytes": 3, "sha256": "0" * 64}],
            key=f"models/{model_id}",
            manifest_sha256="0" * 64,
            parent_id=None,
        )
        model = jobs.succeed(session, claim, model=new_model)
    assert model is not None
    return model


def number_of(reference: str) -> int:
    with transaction() as session:
        return models.version(session, reference).version


def test_a_bare_name_is_the_latest_version_until_production_is_set() -> None:
    register_model(), register_model(), register_model()
    assert number_of("digits") == 3
    with transaction() as session:
        models.set_alias(session, "digits", "production", 2)
    assert number_of("digits") == 2
    assert (number_of("digits@3"), number_of("digits@production")) == (3, 2)


def test_a_model_is_found_by_its_id() -> None:
    assert number_of(register_model().id) == 1


@pytest.mark.parametrize(
    "reference",
    ["other", "digits@9", "digits@99999999999999999999", "digits@staging", "digits@0", "mdl_0", "@", "digits@"],
)
def test_an_unknown_reference_is_not_found(reference: str) -> None:
    register_model()
    if reference == "digits@":
        assert number_of(reference) == 1
        return
    with transaction() as session, pytest.raises(NotFound):
        models.version(session, reference)


def test_an_alias_moves_only_with_its_current_entity_tag() -> None:
    register_model(), register_model()
    with transaction() as session:
        tag = models.etag(models.set_alias(session, "digits", "production", 1))
    with transaction() as session:
        models.set_alias(session, "digits", "production", 2, if_match=tag)
    with transaction() as session, pytest.raises(PreconditionFailed):
        models.set_alias(session, "digits", "production", 1, if_match=tag)
    with transaction() as session:
        history = [change.version for change in models.alias_history(session, "digits", "production")]
    assert history == [2, 1]


def test_an_alias_needs_an_existing_version_and_cannot_be_a_number() -> None:
    register_model()
    with transaction() as session, pytest.raises(NotFound):
        models.set_alias(session, "digits", "production", 7)
    with transaction() as session, pytest.raises(Conflict, match="number"):
        models.set_alias(session, "digits", "7", 1)


def test_a_version_with_an_alias_cannot_be_deleted() -> None:
    register_model()
    with transaction() as session:
        models.set_alias(session, "digits", "production", 1)
    with transaction() as session, pytest.raises(Conflict, match="production"):
        models.delete(session, "digits", 1)


def test_the_number_of_a_deleted_version_is_never_reused() -> None:
    register_model(), register_model()
    with transaction() as session:
        key, export = models.delete(session, "digits", 2)
    assert key.startswith("models/mdl_")
    assert export.startswith("exports/mdl_")
    assert number_of("digits") == 1
    assert register_model().version == 3


def test_the_list_has_every_name_once_with_its_latest_version() -> None:
    register_model("a"), register_model("b"), register_model("a")
    with transaction() as session:
        page = models.listing(session, limit=10, cursor=None)
        assert [(model.name, model.version) for model in page.items] == [("a", 2), ("b", 1)]
        assert list(models.names(session)) == ["a", "b"]


def test_after_the_latest_version_is_deleted_the_one_before_is_listed() -> None:
    for _ in range(3):
        register_model()
    with transaction() as session:
        models.delete(session, "digits", 2)
        models.delete(session, "digits", 3)
    with transaction() as session:
        listed = models.listing(session, limit=9, cursor=None).items
        assert [(row.name, row.version) for row in listed] == [("digits", 1)]
        assert models.histories(session, ["digits"])["digits"].versions == 1
    with transaction() as session:
        models.delete(session, "digits", 1)
    with transaction() as session:
        assert models.listing(session, limit=9, cursor=None).items == []
