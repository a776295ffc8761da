"""API keys are valid until they are revoked; the database never holds a secret."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from store import api_keys
from store.database import transaction
from store.errors import NotFound

pytestmark = pytest.mark.usefixtures("database")


def test_a_key_is_valid_until_it_is_revoked() -> None:
    with transaction() as session:
        key, secret = api_keys.create(session, name="laptop")
    with transaction() as session:
        key_of_secret = api_keys.verify(session, secret)
        assert key_of_secret is not None
        assert key_of_secret.id == key.id
        api_keys.revoke(session, key.id)
    with transaction() as session:
        assert api_keys.verify(session, secret) is None
        api_keys.revoke(session, key.id)


@pytest.mark.parametrize("secret", ["", "plinth_", "x" * 1000, "plinth_0_\0", "пароль"])
def test_no_other_text_is_a_valid_key(secret: str) -> None:
    with transaction() as session:
        api_keys.create(session, name="laptop")
        assert api_keys.verify(session, secret) is None


def test_the_secret_is_not_in_the_database() -> None:
    with transaction() as session:
        _, secret = api_keys.create(session, name="laptop")
        rows = str(session.execute(text("SELECT * FROM api_key")).all())
    assert secret not in rows
    assert secret.rpartition("_")[2] not in rows


def test_the_first_key_is_the_same_key_at_every_start() -> None:
    with transaction() as session:
        ids = {api_keys.ensure(session, "chosen by the operator", name="first").id for _ in range(2)}
    assert len(ids) == 1


def test_a_revoked_first_key_stays_revoked() -> None:
    with transaction() as session:
        key = api_keys.ensure(session, "chosen by the operator", name="first")
        api_keys.revoke(session, key.id)
    with transaction() as session:
        api_keys.ensure(session, "chosen by the operator", name="first")
        assert api_keys.verify(session, "chosen by the operator") is None


def test_the_time_of_the_last_use_is_recorded() -> None:
    with transaction() as session:
        _, secret = api_keys.create(session, name="laptop")
        api_keys.verify(session, secret)
    with transaction() as session:
        assert api_keys.listing(session, limit=1, cursor=None).items[0].last_used_at is not None


def test_an_unknown_key_cannot_be_revoked() -> None:
    with transaction() as session, pytest.raises(NotFound):
        api_keys.revoke(session, "key_0")
