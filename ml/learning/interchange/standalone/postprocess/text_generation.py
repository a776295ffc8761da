"""`step` reads tokens and gives `logits` for the token that follows. A prompt is cut into tokens without what the
tokenizer's template adds; the token that `special` calls begin (where there is none, end) goes before it, and of its
own tokens the last `max_length` - 1 are kept. Where `task.state.prompted` is true, a line break ends the prompt. Turns
of a conversation are written as `User: ...`, a blank line between them, and `Assistant:` behind. Where
`task.state.state_width` is 0, all tokens are fed each time; where it is K, the prompt once with an empty `text_state`,
float32 [batch, 0, K], and `text_state_mask`, bool [batch, 0], then only the newest token with `text_next_state` and
`text_next_state_mask` of the step before. answers/continuation.py does so, answers/sampling.py draws the token
(`temperature`, `top_k`, `top_p`, `seed`), and answers/spelling.py makes text of them, which ends before a `stop`. It
ends at the token called end, too, and after `max_new_tokens`. Past `task.state.context` tokens, the first and the
latest half are read again.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

from tokenizers import Tokenizer

from ml.generation.loop import GeneratedSequence, GenerationLoop, GenerationParams
from ml.generation.sampling import Sampling

TASKS = ("text_generation",)
FIELD = "prompt"
NEEDS = "tokenizers"
WITH = ("ml.generation.loop", "ml.generation.sampling", "ml.generation.detokenizer")
SEEDS = 2**32


def answer(inputs: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """All of them share each step."""
    about, state = model.told["inputs"]["text"], model.told["task"]["state"]
    tokenizer: Any = Tokenizer.from_file(str(model.folder(about) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    special = {role: tokenizer.token_to_id(name) for role, name in about["special"].items()}
    decode = partial(tokenizer.decode, skip_special_tokens=True)
    some = []
    for given in inputs:
        prompt = tokenizer.encode(_prompt(given, prompted=state["prompted"]), add_special_tokens=False).ids
        tokens = [special.get("begin", special["end"]), *prompt[max(0, len(prompt) - about["max_length"] + 1) :]]
        some.append(GeneratedSequence(tokens, _wish(given), decode=decode, end=special["end"]))
    read = partial(model.run, "step")
    loop = GenerationLoop(read, slot="text", context=state["context"], state_width=state["state_width"])
    loop.join(some)
    while loop.is_busy:
        loop.step()
    return [
        {
            "text": each.text,
            "finish_reason": each.finish_reason,
            "seed": each.params.seed,
            "prompt_tokens": each.prompt_tokens,
            "new_tokens": len(each.new_tokens),
        }
        for each in some
    ]


def _prompt(given: dict[str, Any], *, prompted: bool) -> str:
    prompt: str = given["prompt"]
    if given.get("messages"):
        turns = [f"{each['role'].capitalize()}: {each['content'].strip()}" for each in given["messages"]]
        prompt = "\n\n".join([*turns, "Assistant:"])
    return f"{prompt}\n" if prompted and prompt else prompt


def _wish(given: dict[str, Any]) -> GenerationParams:
    stop, seed = given.get("stop") or [], given.get("seed")
    return GenerationParams(
        max_new_tokens=given["max_new_tokens"],
        sampling=Sampling(temperature=given["temperature"], top_k=given.get("top_k"), top_p=given.get("top_p")),
        seed=secrets.randbelow(SEEDS) if seed is None else seed,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
    )
