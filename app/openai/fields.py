"""Fields of requests: texts, fields with one possible value, and their names in errors."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from app.http.errors import ProblemError, summarize
from app.predict.client_paths import client_paths
from ml.errors import PARAMETERS, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CLIENT_HINT: Final = "Send the text itself; with langchain-openai, set check_embedding_ctx_length=False."

NO_TOOLS: Final = "Models of this service call no tools: leave them out."
NO_REASONING: Final = "Leave it out: models of this service do not reason."

LENGTH_HINT: Final = (
    "Send a shorter text; POST /predict reads what fits of a long one, and says how many tokens those are."
)


class ProtocolRequest(BaseModel):
    """Fields that every request may have, and that change no answer here."""

    model_config = ConfigDict(extra="forbid")

    user: str | None = None
    metadata: dict[str, Any] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None
    store: bool | None = None


def only(value: Any, *, hint: str, same: Any = None) -> BeforeValidator:
    """Return a validator that accepts null, one value, and another of the same meaning."""

    def check(sent: Any) -> Any:
        if sent is None or sent == value or (not value and sent in (False, 0, "", [], {})):
            return None if sent is None else value
        if same is not None and sent == same:
            return value
        message = "only {value} is supported here. {hint}"
        raise PydanticCustomError("unsupported_value", message, {"value": json.dumps(value), "hint": hint})

    return BeforeValidator(check)


def joined_texts(*types: str) -> Callable[[Any], Any]:
    """Return a function that joins the text parts of a message.

    It refuses parts of other types.
    """

    def join(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        for part in value:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in types or not isinstance(part.get("text"), str):
                message = "parts other than text ({kind}) are not supported. Send the parts of the type {first} alone."
                raise PydanticCustomError("unsupported_part", message, {"kind": str(kind)[:40], "first": types[0]})
        return "".join(part["text"] for part in value)

    return join


def to_texts(value: Any) -> Any:
    """Return a list of texts from one or several.

    Token ids are refused, which another tokenizer made.
    """
    if isinstance(value, str):
        return [value]
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, int) or (isinstance(first, list) and all(isinstance(token, int) for token in first)):
        raise PydanticCustomError(
            "token_ids",
            "token ids are not accepted, as each model has a tokenizer of its own. {hint}",
            {"hint": CLIENT_HINT},
        )
    return value


def invalid_field(field: str, message: str, *, hint: str) -> ProblemError:
    """Return the error 422 about one field."""
    finding = Finding(code="invalid_request", message=message, path=field, hint=hint)
    return ProblemError(422, "invalid_request", summarize([finding]), errors=[finding])


def too_long(field: str, *, length: int, limit: int) -> ProblemError:
    """Return the error 400 of a text that exceeds the context of a model.

    Clients look for these words.
    """
    noun = field.partition(".")[0]
    message = f"This model's maximum context length is {limit} tokens. However, your {noun} resulted in {length} tokens"
    finding = Finding(code="context_length_exceeded", message=message, path=field, hint=LENGTH_HINT)
    detail = f"{message}. {LENGTH_HINT}"
    return ProblemError(400, "context_length_exceeded", detail, errors=[finding])


@contextmanager
def names_in_errors(names: Mapping[str, str]) -> Iterator[None]:
    """Replace native fields in an `InputError` by those that the client sent.

    A name may contain `{index}`, which stands for the position of the input. "" is the whole input.
    """
    with client_paths(lambda index, path: renamed_path(path, names).format(index=index)):
        yield


def renamed_path(path: str, names: Mapping[str, str]) -> str:
    """Return a native path in the words of the client.

    `{index}` in it stands for the position of the input.
    """
    field, dot, rest = path.removeprefix(f"{PARAMETERS}.").partition(".")
    return f"{names[field]}{dot}{rest}" if field in names else f"{field}{dot}{rest}".replace("{", "").replace("}", "")
