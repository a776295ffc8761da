"""Requests and responses of the protocol."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.dependencies import REFERENCE
from app.openai.fields import NO_REASONING, NO_TOOLS, ProtocolRequest, joined_texts, only, to_texts
from app.openai.log_probs import ChatLogProbs, CompletionLogProbs
from app.predict.schemas import MAX_INPUTS

EncodingFormat = TypeAliasType("EncodingFormat", Literal["float", "base64"])

ModelId = Annotated[
    str, Field(pattern=REFERENCE, max_length=200, description="`name`, `name@3` or `name@alias`.", examples=["reviews"])
]
Texts = Annotated[
    list[str],
    BeforeValidator(to_texts, json_schema_input_type=str | list[str]),
    Field(min_length=1, max_length=MAX_INPUTS, description="One text or several."),
]


class ListedModel(BaseModel):
    """A model, in the version that its id means."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="Time of registration, in seconds since 1970.")
    owned_by: str = "plinth"
    task: str | None = Field(description="Task of the model; null for a base model.")


class VersionStatus(BaseModel):
    """State of a version, as TF Serving describes it.

    One that is not in memory is loaded by its first request.
    """

    version: str
    state: Literal["AVAILABLE"] = "AVAILABLE"
    status: dict[str, str] = {"error_code": "OK", "error_message": ""}


class ReadyModel(ListedModel):
    """A model, and what clients of KServe (version 1) and TF Serving read of it."""

    name: str
    ready: Literal[True] = True
    model_version_status: list[VersionStatus]


class SystemOneModel(BaseModel):
    """A model in the list of System One."""

    name: str
    description: str
    release_date: str = Field(examples=["2026-11-29"])


class ListedModels(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ListedModel]
    models: list[SystemOneModel] = Field(description="The same models, as clients of System One read them.")


class EmbeddingsRequest(ProtocolRequest):
    """Texts to embed."""

    model: ModelId
    input: Texts
    encoding_format: EncodingFormat | None = Field(
        None, description="`base64`: little-endian float32; `float` or null: numbers."
    )
    dimensions: int | None = Field(
        None, ge=1, description="The width of the model's embeddings, which is the only one that they have."
    )


class TokenUsage(BaseModel):
    """Tokens that were read and generated."""

    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int


class TextEmbedding(BaseModel):
    """The embedding of the text at `index`."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Embeddings(BaseModel):
    """One embedding for each text, in order."""

    object: Literal["list"] = "list"
    model: str = Field(description="`name@version` of the model that answered.")
    data: list[TextEmbedding]
    usage: TokenUsage


class StreamOptions(BaseModel):
    """Options of a stream."""

    model_config = ConfigDict(extra="ignore")

    include_usage: bool | None = Field(None, description="End the stream with a chunk that has `usage`.")


class SamplingRequest(ProtocolRequest):
    """Fields of all requests for texts; what is left out has the model's own default."""

    model: ModelId
    stream: bool | None = None
    temperature: float | None = Field(None, description="0: always the most probable token.")
    top_p: float | None = None
    seed: int | None = Field(None, description="The same seed gives the same text again.")
    stop: str | list[str] | None = Field(None, description="Strings before which the text ends.")

    @property
    def top_log_probs(self) -> int | None:
        """Number of alternatives to return per token; None without log-probabilities."""
        return None

    @property
    def truncates(self) -> bool:
        """True if the end of a prompt is read that exceeds the context."""
        return False


class GenerationRequest(SamplingRequest):
    """Fields of completions, with and without a conversation."""

    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, description="Maximum number of generated tokens.")
    n: Annotated[Literal[1] | None, only(1, hint="Send the request again for another text.")] = None
    frequency_penalty: Annotated[Literal[0] | None, only(0, hint="Leave it out.")] = None
    presence_penalty: Annotated[Literal[0] | None, only(0, hint="Leave it out.")] = None
    logit_bias: Annotated[None, only(None, hint="Leave it out.")] = None


class CompletionRequest(GenerationRequest):
    """Texts to continue."""

    prompt: Texts = Field(default_factory=lambda: [""])
    best_of: Annotated[Literal[1] | None, only(1, hint="Leave it out.")] = None
    echo: Annotated[Literal[False] | None, only(False, hint="Put the prompt before the text yourself.")] = None
    logprobs: int | None = Field(
        None, ge=0, le=5, description="Return log-probabilities, and this number of the most probable tokens."
    )
    suffix: Annotated[None, only(None, hint="Leave it out: models here only continue texts.")] = None

    @property
    def top_log_probs(self) -> int | None:
        """Number of alternatives to return per token; None without log-probabilities."""
        return self.logprobs


class ContentPart(BaseModel):
    """A part of a message."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One message of a conversation."""

    role: str = Field(examples=["user"])
    content: Annotated[str, BeforeValidator(joined_texts("text"), json_schema_input_type=str | list[ContentPart])]


class ChatCompletionRequest(GenerationRequest):
    """A conversation to reply to."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, description="Maximum number of generated tokens.")
    logprobs: bool | None = Field(None, description="Return the log-probability of each token.")
    top_logprobs: int | None = Field(
        None, ge=0, le=20, description="Number of the most probable tokens, with their log-probabilities."
    )
    tools: Annotated[None, only(None, hint=NO_TOOLS)] = None
    tool_choice: Annotated[None, only(None, same="none", hint="Leave it out.")] = None
    parallel_tool_calls: bool | None = None
    response_format: Annotated[
        None, only(None, same={"type": "text"}, hint="Leave it out: a reply is text in no fixed form.")
    ] = None
    modalities: Annotated[None, only(None, same=["text"], hint="Leave it out: a reply is text.")] = None
    prediction: Annotated[None, only(None, hint="Leave it out: replies are generated anew.")] = None
    reasoning_effort: Annotated[None, only(None, same="none", hint=NO_REASONING)] = None
    verbosity: Annotated[Literal["medium"] | None, only("medium", hint="Leave it out.")] = None
    functions: Annotated[None, only(None, hint=NO_TOOLS)] = None
    function_call: Annotated[None, only(None, same="none", hint="Leave it out.")] = None
    web_search_options: Annotated[None, only(None, hint="Leave it out: nothing is searched.")] = None
    audio: Annotated[None, only(None, hint="Leave it out: a reply is text.")] = None
    moderation: Annotated[None, only(None, hint="Leave it out, and send texts to POST /v1/moderations.")] = None

    @field_validator("top_logprobs")
    @classmethod
    def _check_top_log_probs(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value and not info.data.get("logprobs"):
            message = "`logprobs` must be true if `top_logprobs` is sent"
            raise PydanticCustomError("logprobs_missing", message)
        return value

    @property
    def top_log_probs(self) -> int | None:
        """Number of alternatives to return per token; None without log-probabilities."""
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionChoice(BaseModel):
    """The continuation of the prompt at `index`."""

    index: int
    text: str
    logprobs: CompletionLogProbs | None = None
    finish_reason: str


class Completion(BaseModel):
    """One continuation of each prompt, in order."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str = Field(description="`name@version` of the model that answered.")
    choices: list[CompletionChoice]
    usage: TokenUsage


class ChatReply(BaseModel):
    """The message of the model."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """The only reply."""

    index: int
    message: ChatReply
    logprobs: ChatLogProbs | None = None
    finish_reason: str


class ChatCompletion(BaseModel):
    """The reply to a conversation."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str = Field(description="`name@version` of the model that answered.")
    choices: list[ChatChoice]
    usage: TokenUsage


class ModerationRequest(ProtocolRequest):
    """Texts to classify."""

    model: ModelId
    input: Texts
    harmless: Annotated[list[str], Field(max_length=1000)] | None = Field(
        None,
        description="Labels that flag nothing, an addition to the protocol. Null: those named `ok`, `safe`, `none`, "
        "`ham`, `clean`, `neutral`, `normal`, `acceptable` or `harmless`.",
    )


class ModerationResult(BaseModel):
    """The predicted class of one text, if it is harmful, and probabilities."""

    flagged: bool
    categories: dict[str, bool] = Field(description="True for the predicted class, if it is harmful.")
    category_scores: dict[str, float] = Field(description="Probabilities of the harmful classes.")


class Moderation(BaseModel):
    """One result for each text, in order."""

    id: str
    model: str = Field(description="`name@version` of the model that answered.")
    results: list[ModerationResult]
