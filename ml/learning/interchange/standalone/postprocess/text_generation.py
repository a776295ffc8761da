"""Text generated token by token.

`step` reads tokens and returns `logits` for the next token. A prompt is tokenized without the template of the
tokenizer; the token that `special` names as begin (or else end) goes before it, and the last `max_length` - 1 tokens of
the prompt are read; `truncated` then says how many. If `task.state.prompted` is true, a line break ends the prompt.
Turns of a conversation are written as `User: ...`, with a blank line between them, and `Assistant:` at the end. If
`task.state.state_shapes` is empty, all tokens are read at every step; if not, the prompt is read once with an empty
state, and then only the newest token: `text_state_0` and so on, float32 [batch, heads, positions, width], are the
`text_new_state_0` and so on of all steps before, one behind the other, and `text_state_mask`, bool [batch, positions],
is true where they are of tokens. A recurrent network has one `text_state`, which is `text_next_state` of the step
before, as `text_state_mask` is `text_next_state_mask`. `runtime/loop.py` and `runtime/state.py` do this,
`runtime/sampling.py`
draws the token (`temperature`, `top_k`, `top_p`, `seed`), and `runtime/detokenizer.py` converts tokens to text, which
ends before a `stop` string. `runtime/token_log_probs.py` describes tokens for `logprobs`. With `truncate` false, a
prompt that is too long is refused. Generation also ends at the token named as end, and after `max_new_tokens`. Beyond
`task.state.context` tokens, the first token and the latest half are read again.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any, Final

from ml.errors import TextTooLong
from ml.generation.loop import GeneratedSequence, GenerationLoop, GenerationParams
from ml.generation.sampling import Sampling
from ml.generation.state import state_shapes
from ml.generation.token_log_probs import TokenDescriber
from ml.preprocessing.long_texts import count_tokens, truncation_fields

TASKS: Final = ("text_generation",)
#: Field of an input that a file fills.
FIELD: Final = "prompt"
SEEDS: Final = 2**32


def predict(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Return the generated text of each input; all share each step."""
    state = model.metadata["task"]["state"]
    sequences = _start_sequences(inputs, model, is_prompted=state["prompted"])
    read = partial(model.run, "step")
    loop = GenerationLoop(read, slot="text", context=state["context"], state_shapes=state_shapes(state))
    loop.join(sequences)
    while loop.is_busy:
        loop.step()
    tokenizer = model.preprocessor("text").load_tokenizer(model.folder("text"))
    describer = TokenDescriber(
        partial(tokenizer.decode, skip_special_tokens=True),
        tokenize=lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        name_of=tokenizer.id_to_token,
    )
    return [
        {
            "text": sequence.text,
            "finish_reason": sequence.finish_reason,
            "seed": sequence.params.seed,
            "prompt_tokens": sequence.prompt_tokens,
            "new_tokens": len(sequence.new_tokens),
            **({} if sequence.params.log_probs is None else {"logprobs": describer.describe(sequence.log_probs)}),
            **sequence.prompt_fields,
        }
        for sequence in sequences
    ]


def _start_sequences(inputs: list[dict[str, Any]], model: Any, *, is_prompted: bool) -> list[GeneratedSequence]:
    config = model.metadata["inputs"]["text"]["config"]
    tokenizer = model.preprocessor("text").load_tokenizer(model.folder("text"))
    special = {role: tokenizer.token_to_id(name) for role, name in config["special"].items()}
    decode = partial(tokenizer.decode, skip_special_tokens=True)
    sequences = []
    for raw_input in inputs:
        text = _prompt(raw_input, is_prompted=is_prompted)
        prompt = tokenizer.encode(text, add_special_tokens=False).ids
        if len(prompt) > config["max_length"] - 1 and not raw_input["truncate"]:
            raise TextTooLong("prompt", length=len(prompt), limit=config["max_length"] - 1)
        tokens = [special.get("begin", special["end"]), *prompt[max(0, len(prompt) - config["max_length"] + 1) :]]
        sequences.append(GeneratedSequence(tokens, _generation_params(raw_input), decode=decode, end=special["end"]))
        if len(tokens) == config["max_length"]:
            sequences[-1].prompt_fields = truncation_fields(
                len(tokens) - 1, count_tokens(tokenizer, text, max_length=len(tokens))
            )
    return sequences


def _prompt(raw_input: dict[str, Any], *, is_prompted: bool) -> str:
    prompt: str = raw_input["prompt"]
    if raw_input.get("messages"):
        turns = [f"{turn['role'].capitalize()}: {turn['content'].strip()}" for turn in raw_input["messages"]]
        prompt = "\n\n".join([*turns, "Assistant:"])
    return f"{prompt}\n" if is_prompted and prompt else prompt


def _generation_params(raw_input: dict[str, Any]) -> GenerationParams:
    stop, seed = raw_input.get("stop") or [], raw_input.get("seed")
    sampling = Sampling(
        temperature=raw_input["temperature"], top_k=raw_input.get("top_k"), top_p=raw_input.get("top_p")
    )
    return GenerationParams(
        max_new_tokens=raw_input["max_new_tokens"],
        sampling=sampling,
        seed=secrets.randbelow(SEEDS) if seed is None else seed,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        log_probs=raw_input.get("logprobs"),
    )
