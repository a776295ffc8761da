"""The conversation of a request, as messages of `text_generation`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.openai.generation import Generation

if TYPE_CHECKING:
    from app.openai.responses.schemas import ResponseRequest


class ResponseGeneration(Generation):
    """The reply to the messages of a request, of which its instructions are the first."""

    def __init__(self, request: ResponseRequest) -> None:
        """Join instructions and messages."""
        instructions = [] if request.instructions is None else [{"role": "system", "content": request.instructions}]
        messages = [*instructions, *(message.model_dump() for message in request.input)]
        self._instructions = len(instructions)
        super().__init__(
            request, [{"messages": messages}], limit_field="max_output_tokens", names={"messages": "input"}
        )

    def path_of(self, index: int, path: str) -> str:
        """Return a path in which the instructions are no message."""
        field, *position = path.split(".", 2)
        if field != "messages" or not position or not position[0].isdecimal():
            return super().path_of(index, path)
        number = int(position[0]) - self._instructions
        return "instructions" if number < 0 else ".".join(["input", str(number), *position[1:]])
