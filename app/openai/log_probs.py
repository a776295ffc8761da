"""Log-probabilities of tokens in the two forms of the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class TokenLogProb(BaseModel):
    """A token, and how probable it is."""

    token: str
    bytes: list[int] | None = Field(description="Bytes of the token in UTF-8.")
    logprob: float = Field(description="Before temperature and `top_p`; -9999 for what is nearly impossible.")


class ChatTokenLogProb(TokenLogProb):
    """A token of a reply, and the most probable ones in its place."""

    top_logprobs: list[TokenLogProb]


class ChatLogProbs(BaseModel):
    """Tokens of a reply."""

    content: list[ChatTokenLogProb]
    refusal: None = None


class CompletionLogProbs(BaseModel):
    """Tokens of a continued text, by the same positions in each list."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] = Field(description="The most probable tokens, and the one that was drawn.")
    text_offset: list[int] = Field(description="Characters of `text` before each token.")


def to_chat(tokens: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return `ChatLogProbs` as JSON values from the `logprobs` of `text_generation`."""
    content = [
        {"token": token["token"], "bytes": token["bytes"], "logprob": token["logprob"], "top_logprobs": token["top"]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def to_completion(tokens: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return `CompletionLogProbs` as JSON values from the `logprobs` of `text_generation`.

    The token that was drawn is among the most probable ones in any case, so that there may be one more of them.
    """
    return {
        "tokens": [token["token"] for token in tokens],
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": [{item["token"]: item["logprob"] for item in [*token["top"], token]} for token in tokens],
        "text_offset": [token["offset"] for token in tokens],
    }
