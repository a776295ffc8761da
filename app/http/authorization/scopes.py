"""Scopes of API keys: what each path needs.

Every path is listed here; one that is not needs `admin`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from app.http.errors import ProblemError, to_problem_error
from app.serving.access import check_model
from app.serving.errors import ModelNotAllowed

if TYPE_CHECKING:
    from store.api_keys import KeyAccess, KeyScope


class ScopeRule(NamedTuple):
    """The scope that requests to some paths need."""

    methods: re.Pattern[str]
    #: The group `model`, if any, is the model that a path names.
    path: re.Pattern[str]
    scope: KeyScope
    #: Whether keys for some models may use the path: it names the model, or its route checks or filters them.
    checks_models: bool


def _rule(scope: KeyScope, path: str, *, methods: str = r"\w+", checks_models: bool = False) -> ScopeRule:
    return ScopeRule(re.compile(methods), re.compile(path), scope, checks_models or "?P<model>" in path)


_MODEL: Final = r"(?P<model>[^/@:]+)"
_READ: Final = "GET|HEAD"

#: The first rule of a path decides.
RULES: Final = (
    # The same models by every protocol. Bodies and headers that name a model are checked where it is looked up.
    _rule("predict", rf"/predict/{_MODEL}(@[^/]+)?"),
    _rule("predict", r"/predict", methods=_READ, checks_models=True),
    _rule("predict", rf"/v1/models/{_MODEL}(@[^/:]+)?(/versions/\d+)?(:predict|/metadata)?"),
    _rule("predict", r"/v1/models", methods=_READ, checks_models=True),
    _rule(
        "predict",
        r"/v1/(embeddings|completions|chat/completions|responses|moderations|systemone|decisions)",
        checks_models=True,
    ),
    _rule("predict", r"/v[12]/rerank", checks_models=True),
    _rule("predict", r"/v1/(audio/(transcriptions|speech)|images/generations)", checks_models=True),
    _rule("predict", r"/v2/models/stats", methods=_READ, checks_models=True),
    _rule("predict", rf"/v2/(repository/)?models/{_MODEL}(@[^/]+)?(/.+)?"),
    _rule("predict", r"/v2(/health/(live|ready)|/repository/index)?", checks_models=True),
    _rule("predict", r"/ping|/invocations|/endpoints/[^/]+/invocations", checks_models=True),
    _rule("predict", rf"/predictions/{_MODEL}(@[^/]+)?(/\d+)?"),
    _rule("predict", rf"/hf/{_MODEL}(@[^/]+)?(/.+)?"),
    # What a client must know to predict.
    _rule("predict", r"/api/v1/catalog", methods=_READ, checks_models=True),
    _rule("predict", r"/api/v1/models", methods=_READ, checks_models=True),
    _rule("predict", rf"/api/v1/models/{_MODEL}(/versions(/\d+(/signature)?)?)?", methods=_READ),
    _rule("predict", rf"/api/v1/models/{_MODEL}/aliases(/[^/]+)?", methods=_READ),
    _rule("predict", r"/metrics|/api/v1/system", methods=_READ),
    # Data, jobs and models.
    _rule("train", r"/api/v1/(datasets|uploads|jobs|bases|models)(/.*)?"),
    # Keys, addresses outside of the service, and what is deleted without being named.
    _rule("admin", r"/api/v1/(keys|webhooks|disk)(/.*)?"),
)


def rule_of(method: str, path: str) -> ScopeRule | None:
    """Return the rule of a request; None for a path that is not listed."""
    return next((rule for rule in RULES if rule.path.fullmatch(path) and rule.methods.fullmatch(method)), None)


def check_access(access: KeyAccess, rule: ScopeRule | None, path: str) -> None:
    """Raise `ProblemError` 403 if a key may not send a request.

    `rule` is that of the path, if it has one.
    """
    scope = "admin" if rule is None else rule.scope
    if not access.includes(scope):
        detail = (
            f"This request needs a key of the scope {scope}; this one has {access.scope}. Send another key, or create "
            f"one: plinth keys create NAME --scope {scope}."
        )
        challenge = f'Bearer realm="plinth", error="insufficient_scope", scope="{scope}"'
        raise ProblemError(403, "insufficient_scope", detail, headers={"WWW-Authenticate": challenge})
    if access.models is None or rule is None:
        return
    if not rule.checks_models:
        models = ", ".join(access.models[:8])
        detail = f"A key for some models ({models}) cannot read what concerns all of them. Send a key without models."
        raise ProblemError(403, "model_not_allowed", detail)
    match = rule.path.fullmatch(path)
    model = match.groupdict().get("model") if match else None
    if model:
        try:
            check_model(model)
        except ModelNotAllowed as error:
            raise to_problem_error(error) from None
