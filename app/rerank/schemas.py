"""Requests and responses of rankings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.openai.fields import only
from app.openai.schemas import ModelId, TokenUsage
from app.predict.schemas import MAX_INPUTS

RerankVersion = TypeAliasType("RerankVersion", Literal["1", "2"])

#: The query is an input, too.
MAX_DOCUMENTS = MAX_INPUTS - 1


def _to_text(value: Any) -> Any:
    """Return the text of a document, which clients may send as an object."""
    if not isinstance(value, dict):
        return value
    if value.keys() != {"text"}:
        message = "a document is a text, or an object with `text` alone. Join the fields to one text."
        raise PydanticCustomError("invalid_document", message)
    return value["text"]


Document = Annotated[str, BeforeValidator(_to_text, json_schema_input_type=str | dict[Literal["text"], str])]


class RerankRequest(BaseModel):
    """Documents to rank by their relevance to a query."""

    model_config = ConfigDict(extra="forbid")

    model: ModelId
    query: str
    documents: list[Document] = Field(min_length=1, max_length=MAX_DOCUMENTS)
    top_n: int | None = Field(None, ge=1, description="Results to return; all of them if left out.")
    return_documents: bool | None = Field(None, description="Return the text of each document, too.")
    max_tokens_per_doc: int | None = Field(
        None, ge=1, description="At least what the model reads, which is the beginning of a longer document."
    )
    rank_fields: Annotated[
        list[Literal["text"]] | None, only(["text"], hint="A document is one text: leave it out.")
    ] = None
    max_chunks_per_doc: Annotated[
        Literal[1] | None, only(1, hint="Leave it out: the beginning of a document is read.")
    ] = None
    truncation: Annotated[Literal[True] | None, only(True, hint="Leave it out: long documents are cut.")] = None
    priority: JsonValue = Field(None, description="Changes nothing.")
    user: str | None = Field(None, description="Changes nothing.")


class RankedDocument(BaseModel):
    """The text of a document."""

    text: str


class RankedResult(BaseModel):
    """A document by its position in the request."""

    index: int
    relevance_score: float = Field(
        description="(1 + cosine similarity of the embeddings) / 2: an order, not a probability of relevance."
    )
    document: RankedDocument | None = Field(None, description="With `return_documents`.")


class ApiVersion(BaseModel):
    """Number of the version."""

    version: RerankVersion


class RankingMeta(BaseModel):
    """Version of the protocol, as clients of Cohere read it."""

    api_version: ApiVersion
    warnings: list[str] | None = Field(
        None, description="Texts of which the beginning was read alone, with the number of tokens."
    )


class Ranking(BaseModel):
    """Documents, the most relevant first."""

    id: str
    object: Literal["list"] = "list"
    model: str = Field(description="`name@version` of the model that answered.")
    results: list[RankedResult]
    meta: RankingMeta
    usage: TokenUsage
