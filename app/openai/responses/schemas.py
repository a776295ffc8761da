"""Requests and answers of `/v1/responses`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.openai.fields import NO_REASONING, NO_TOOLS, joined_texts, only
from app.openai.schemas import SamplingRequest

ResponseStatus = TypeAliasType("ResponseStatus", Literal["in_progress", "completed", "incomplete"])
MessageRole = TypeAliasType("MessageRole", Literal["user", "assistant", "system", "developer"])
Truncation = TypeAliasType("Truncation", Literal["auto", "disabled"])
ToolChoice = TypeAliasType("ToolChoice", Literal["none", "auto"])

STATELESS_HINT: Final = "Responses are not stored: send the whole conversation in `input`."
_MESSAGE: Final = "message"


def _to_items(value: Any) -> Any:
    """Return a list of messages from a text or messages; other items are refused."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    for item in value if isinstance(value, list) else ():
        kind = item.get("type", _MESSAGE) if isinstance(item, dict) else _MESSAGE
        if kind != _MESSAGE:
            text = "items other than messages ({kind}) are not supported. Send the messages alone."
            raise PydanticCustomError("unsupported_item", text, {"kind": str(kind)[:40]})
    return value


class InputText(BaseModel):
    """A part of a message; that of an earlier answer has the type `output_text`."""

    type: str = Field(pattern="^(input|output)_text$", examples=["input_text"])
    text: str


class InputMessage(BaseModel):
    """One message of a conversation."""

    role: MessageRole
    content: Annotated[
        str,
        BeforeValidator(joined_texts("input_text", "output_text"), json_schema_input_type=str | list[InputText]),
    ]


class TextFormat(BaseModel):
    """Form of a reply."""

    model_config = ConfigDict(extra="ignore")

    type: Annotated[Literal["text"], only("text", hint="Leave it out: a reply is text in no fixed form.")] = "text"


class TextOptions(BaseModel):
    """Options of the text."""

    model_config = ConfigDict(extra="forbid")

    format: TextFormat | None = None
    verbosity: Annotated[Literal["medium"] | None, only("medium", hint="Leave it out.")] = None


class ResponseStreamOptions(BaseModel):
    """Options of a stream."""

    model_config = ConfigDict(extra="ignore")

    include_obfuscation: bool | None = Field(None, description="Changes nothing.")


class ResponseRequest(SamplingRequest):
    """A conversation to reply to; `seed` and `stop` are additions to the protocol."""

    input: Annotated[
        list[InputMessage],
        BeforeValidator(_to_items, json_schema_input_type=str | list[InputMessage]),
        Field(min_length=1, max_length=1000, description="A text of the user, or messages."),
    ]
    instructions: str | None = Field(None, description="A message of the system before all others.")
    max_output_tokens: int | None = Field(None, description="Maximum number of generated tokens.")
    stream_options: ResponseStreamOptions | None = None
    text: TextOptions | None = None
    truncation: Truncation | None = Field(
        None, description="`auto`: the end of a long conversation is read; else it is refused."
    )
    previous_response_id: Annotated[None, only(None, hint=STATELESS_HINT)] = None
    conversation: Annotated[None, only(None, hint=STATELESS_HINT)] = None
    background: Annotated[Literal[False] | None, only(False, hint="Leave it out, and wait for the answer.")] = None
    tools: Annotated[None, only(None, hint=NO_TOOLS)] = None
    tool_choice: ToolChoice | None = Field(None, description="Changes nothing, as there are no tools.")
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = Field(None, description="Changes nothing, as there are no tools.")
    reasoning: Annotated[None, only(None, same={"effort": "none"}, hint=NO_REASONING)] = None
    moderation: Annotated[None, only(None, hint="Leave it out, and send texts to POST /v1/moderations.")] = None
    context_management: Annotated[None, only(None, hint=STATELESS_HINT)] = None
    background_options: Annotated[None, only(None, hint="Leave it out, and wait for the answer.")] = None
    access_programs: Annotated[None, only(None, hint="Leave it out.")] = None
    image: Annotated[None, only(None, hint="Leave it out: a reply is text.")] = None
    include: Annotated[None, only(None, hint="Leave it out.")] = None
    top_logprobs: Annotated[Literal[0] | None, only(0, hint="Leave it out.")] = None
    prompt: Annotated[None, only(None, hint="Prompts are not stored: send the text in `input`.")] = None

    @property
    def truncates(self) -> bool:
        """True if the end of a conversation is read that exceeds the context."""
        return self.truncation == "auto"


class OutputText(BaseModel):
    """The generated text."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[str] = Field(max_length=0)
    logprobs: list[float] = Field(max_length=0)


class OutputMessage(BaseModel):
    """The message of the model."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: ResponseStatus
    content: list[OutputText]


class IncompleteDetails(BaseModel):
    """Reason why a text ends early."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class CachedTokens(BaseModel):
    """Tokens that a cache spared; there is none."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class ReasoningTokens(BaseModel):
    """Tokens of reasoning; there are none."""

    reasoning_tokens: int = 0


class ResponseUsage(BaseModel):
    """Tokens that were read and generated."""

    input_tokens: int
    input_tokens_details: CachedTokens = CachedTokens()
    output_tokens: int
    output_tokens_details: ReasoningTokens = ReasoningTokens()
    total_tokens: int


class ModelResponse(BaseModel):
    """The reply to a conversation, with the fields of its request."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None
    status: ResponseStatus = Field(description="`incomplete`: the text reached `max_output_tokens`.")
    error: None = None
    incomplete_details: IncompleteDetails | None
    model: str = Field(description="`name@version` of the model that answered.")
    output: list[OutputMessage]
    usage: ResponseUsage | None
    instructions: str | None
    max_output_tokens: int | None
    temperature: float | None
    top_p: float | None
    metadata: dict[str, Any]
    user: str | None
    text: TextOptions
    truncation: Truncation
    previous_response_id: None = None
    store: Literal[False] = False
    background: Literal[False] = False
    tools: list[str] = Field(max_length=0)
    tool_choice: ToolChoice
    parallel_tool_calls: bool
