"""Settings on the system page."""

from __future__ import annotations

from app.settings import AppSettings
from app.web.views.system import settings_of, versions
from store.settings import StoreSettings


def test_settings_show_no_key_and_no_address_with_a_password() -> None:
    app = AppSettings.model_validate({"api_key": "plinth_secret_of_this_test", "port": 8123})
    store = StoreSettings(database_url="postgresql://u:pass-word@h/db", redis_url="redis://:pass-word@h")
    shown = {name: (value, changed) for name, value, changed in settings_of(app) + settings_of(store)}
    assert shown["PLINTH_API_KEY"] == ("set", True)
    assert shown["PLINTH_DATABASE_URL"][0] == shown["PLINTH_REDIS_URL"][0] == "set"
    assert shown["PLINTH_PORT"] == ("8123", True)
    assert shown["PLINTH_API_PROCESSES"] == ("1", False)
    assert "pass-word" not in str(shown)
    assert "secret_of_this_test" not in str(shown)


def test_versions_name_the_packages_that_matter() -> None:
    assert {"Plinth", "Python", "fastapi", "numpy"} <= dict(versions()).keys()
