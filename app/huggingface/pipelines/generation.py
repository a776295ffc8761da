"""Generation of texts, translations and images."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from app.huggingface.pipelines.base import IGNORED, Pipeline, PipelineRequest, check_members, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STREAM: Final = "stream"
#: Ends of a text, in the words of text-generation-inference.
FINISH_REASONS: Final = {"stop": "stop_sequence", "length": "length"}
_BEAMS: Final = {"num_beams": "beams", "max_new_tokens": "max_length"}


class TextGenerationPipeline(Pipeline):
    """Continues a prompt."""

    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return an input for each prompt."""
        check_members(request, [STREAM])
        for name in IGNORED:
            request.take(name)
        request.take_only("best_of", [1], hint="Leave it out.")
        request.take_only("repetition_penalty", [1, 1.0], hint="Leave it out.")
        request.take_only("frequency_penalty", [0, 0.0], hint="Leave it out.")
        request.take_only("typical_p", [1, 1.0], hint="Leave it out; with langchain-huggingface, set typical_p=1.0.")
        request.take_only("watermark", [False], hint="Leave it out.")
        request.take_only("adapter_id", [], hint="Name the tuned model in the path.")
        request.take_only("grammar", [], hint="Leave it out: a text has no fixed form.")
        request.take_only("truncate", [], hint="Leave it out: the end of a long prompt is read.")
        request.rename({"stop_sequences": "stop"})
        request.members["full_text"] = bool(request.take("return_full_text"))
        request.members["details"] = bool(request.take("details"))
        if request.members["details"]:
            request.parameters["logprobs"] = 0
        # Greedy generation is the default of these clients; a temperature asks for another.
        if request.take("do_sample") is False:
            request.parameters["temperature"] = 0
        return [{"prompt": prompt} for prompt in request.values("a prompt")]

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return the text of each prompt."""
        prompts = request.values("a prompt")
        has_prompt, has_details = request.members["full_text"], request.members["details"]
        return [
            {
                "generated_text": prompt + output["text"] if has_prompt else output["text"],
                **({"details": _to_details(output)} if has_details else {}),
            }
            for prompt, output in zip(prompts, outputs, strict=True)
        ]


class TranslationPipeline(Pipeline):
    """Translates texts; a model that summarizes is asked alike."""

    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return an input for each text."""
        check_members(request)
        for name in IGNORED:
            request.take(name)
        for name in ("src_lang", "tgt_lang"):
            request.take_only(name, [], hint="Leave it out: a model translates between the languages of its data.")
        request.take_only("truncation", ["do_not_truncate", "longest_first"], hint="Leave it out.")
        options = request.take("generate_parameters") or {}
        if not isinstance(options, dict):
            hint = 'Send {"max_new_tokens": 20}.'
            raise invalid("must be an object", path="parameters.generate_parameters", hint=hint)
        request.parameters |= options
        request.rename(_BEAMS)
        return [{"text": text} for text in request.values("a text")]

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return each text under the names that the two pipelines have for it."""
        return [{"translation_text": output["text"], "summary_text": output["text"]} for output in outputs]


class TextToImagePipeline(Pipeline):
    """Draws an image of a class, which is the prompt."""

    media_type = "image/png"

    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return one input; an empty prompt leaves the class open."""
        check_members(request)
        if not isinstance(request.inputs, str):
            raise invalid("must be a class of the model, or empty", path="inputs", hint='Send {"inputs": "7"}.')
        return [{"label": request.inputs} if request.inputs else {}]

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return a PNG file."""
        return base64.b64decode(outputs[0]["image"])


def _to_details(output: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "finish_reason": FINISH_REASONS[output["finish_reason"]],
        "generated_tokens": output["new_tokens"],
        "seed": output["seed"],
        "prefill": [],
        "tokens": to_tokens(output["text"], output["logprobs"]),
    }


def to_tokens(text: str, tokens: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return tokens as text-generation-inference describes them, whose texts joined are `text`.

    `tokens` are its `logprobs`. The last token of a character has it.
    """
    start = tokens[0]["offset"] if tokens else 0
    ends = [token["offset"] - start for token in tokens[1:]]
    return [
        {
            "id": token["id"],
            "text": text[token["offset"] - start : end],
            "logprob": token["logprob"],
            "special": False,
        }
        for token, end in zip(tokens, [*ends, len(text)], strict=bool(tokens))
    ]
