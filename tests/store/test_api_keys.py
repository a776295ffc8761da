"""API keys are valid until they are revoked; the database never holds a secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from store import api_keys
from store.database import transaction
from store.errors import Conflict, NotFound
from store.tables import SCOPES

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
        keys = [api_keys.ensure(session, "chosen by the operator", name="first") for _ in range(2)]
    assert len({key.id for key in keys if key is not None}) == 1


def test_a_revoked_first_key_stays_revoked() -> None:
    with transaction() as session:
        key = api_keys.ensure(session, "chosen by the operator", name="first")
        assert key is not None
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


def test_a_rotated_key_has_two_secrets_until_the_grace_period_ends() -> None:
    with transaction() as session:
        key, first = api_keys.create(session, name="laptop", scope="predict", models=["digits*"])
    with transaction() as session:
        _, second = api_keys.rotate(session, key.id, grace_seconds=60)
    with transaction() as session:
        keys = [api_keys.verify(session, secret) for secret in (first, second)]
        assert [row.id for row in keys if row] == [key.id, key.id]
        assert keys[0] is not None
        assert (keys[0].scope, keys[0].models) == ("predict", ["digits*"])
    with transaction() as session:
        _, third = api_keys.rotate(session, key.id, grace_seconds=0)
    with transaction() as session:
        assert [api_keys.verify(session, secret) is None for secret in (first, second, third)] == [True, True, False]


def test_a_rotation_ends_the_sessions_of_browsers() -> None:
    with transaction() as session:
        key, _ = api_keys.create(session, name="laptop")
        token = api_keys.create_token(session, key_id=key.id, purpose="session", seconds=60)
        session_key = api_keys.verify_session(session, token)
        assert session_key is not None
        assert session_key.id == key.id
        api_keys.rotate(session, key.id, grace_seconds=60)
        assert api_keys.verify_session(session, token) is None


def test_a_rotated_first_key_is_not_made_again() -> None:
    """The secret may have leaked, and still stands in the environment of the service."""
    with transaction() as session:
        key = api_keys.ensure(session, "chosen by the operator", name="first")
        assert key is not None
        api_keys.rotate(session, key.id, grace_seconds=0)
        api_keys.rotate(session, key.id, grace_seconds=0)
    with transaction() as session:
        assert api_keys.ensure(session, "chosen by the operator", name="first") is None
        assert api_keys.verify(session, "chosen by the operator") is None
        assert len(api_keys.listing(session, limit=9, cursor=None).items) == 1


@pytest.mark.parametrize("purpose", ["session", "link"])
def test_an_expired_key_is_worth_nothing(purpose: api_keys.Purpose) -> None:
    with transaction() as session:
        key, secret = api_keys.create(session, name="laptop", expires_at=datetime.now(UTC) + timedelta(seconds=60))
        token = api_keys.create_token(session, key_id=key.id, purpose=purpose, seconds=600)
        assert api_keys.verify(session, secret) is not None
        assert api_keys.has_live(session)
        key.expires_at = datetime.now(UTC) - timedelta(seconds=1)
        session.flush()
        assert api_keys.verify(session, secret) is None
        assert not api_keys.has_live(session)
        assert api_keys.verify_session(session, token) is None
        assert api_keys.consume_link(session, token) is None
        with pytest.raises(Conflict, match="expired"):
            api_keys.rotate(session, key.id, grace_seconds=60)


def test_neither_a_revoked_nor_an_unknown_key_is_rotated() -> None:
    with transaction() as session:
        key, _ = api_keys.create(session, name="laptop")
        api_keys.revoke(session, key.id)
    with transaction() as session, pytest.raises(Conflict, match="revoked"):
        api_keys.rotate(session, key.id, grace_seconds=60)
    with transaction() as session, pytest.raises(NotFound):
        api_keys.rotate(session, "key_0", grace_seconds=60)


@pytest.mark.parametrize(
    ("name", "patterns", "is_match"),
    [
        ("digits", None, True),
        ("digits", ("digits",), True),
        ("digits-2", ("digits",), False),
        ("digits-2", ("shades", "digits*"), True),
        ("Digits", ("digits",), False),
        ("x", (), False),
        ("anything", ("*",), True),
    ],
)
def test_models_are_matched_by_name(name: str, patterns: tuple[str, ...] | None, is_match: bool) -> None:
    assert api_keys.KeyAccess("key_1", models=patterns).allows_model(name) is is_match


def test_each_scope_includes_those_before_it() -> None:
    included = {scope: [api_keys.KeyAccess("key_1", scope).includes(other) for other in SCOPES] for scope in SCOPES}
    assert included == {"predict": [True, False, False], "train": [True, True, False], "admin": [True, True, True]}
