"""Tokenizers come in as they are, and go out as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ml.encoders.text import TOKENIZER_FILE, TextEncoder
from ml.errors import PackageError
from ml.learning.interchange.model_archive import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG: Final = "tokenizer_config.json"
SPECIAL: Final = "special_tokens_map.json"
SENTENCE: Final = "sentence_bert_config.json"
FILES: Final = (TOKENIZER_FILE, CONFIG, SPECIAL, SENTENCE, "vocab.txt", "vocab.json", "merges.txt", "added_tokens.json")
VOCABULARIES: Final = (TOKENIZER_FILE, "vocab.txt", "vocab.json")
ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "padding": ("pad_token", "eos_token"),
    "unknown": ("unk_token",),
    "begin": ("cls_token", "bos_token"),
    "end": ("sep_token", "eos_token"),
    "mask": ("mask_token",),
}
"""What a special token is for -> what the library calls it, the likeliest first."""
LONGEST: Final = 65_536
NO_LIMIT: Final = 1_000_000
"""A `model_max_length` beyond is the library's word for none."""
EXAMPLES: Final = (
    "A quiet, moving film.",
    "It was not good: two hours of my life that nobody gives back to me, and a headache to take home.",
    "No.",
    "Ünïcödé, 中文 and 42 % of émigrés - all in one sentence, with a tab\tand a line\nbreak.",
    "The third time one sees it, the plot makes even less sense. " * 6,
)


def read_tokenizer(folder: Path, config: Mapping[str, Any], *, places: int) -> tuple[TextEncoder, list[str]]:
    """The folder's own tokenizer, texts cut to at most `places` tokens; and what its owner should know.

    `tokenizer.json` is kept unchanged; older files are put into that form by the library. Raises `PackageError`.
    """
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise PackageError(
            f"the folder has no tokenizer: none of {', '.join(VOCABULARIES)}",
            hint="`tokenizer.save_pretrained(folder)` writes it.",
        )
    said = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    if said.get("auto_map"):
        raise PackageError(f"{CONFIG} asks for code of its own (auto_map), which is never run")
    path, notes = folder / TOKENIZER_FILE, []
    content = path.read_text(encoding="utf-8") if path.is_file() else _converted(folder)
    lengths = [places, LONGEST]
    if isinstance(told := said.get("model_max_length"), int | float) and 0 < told < NO_LIMIT:
        lengths.append(int(told))
    if (folder / SENTENCE).is_file():
        told = read_json(folder / SENTENCE).get("max_seq_length")
        lengths += [told] if isinstance(told, int) and told > 0 else []
    encoder = TextEncoder.from_tokenizer(content, max_length=min(lengths), special=_special(folder, said, content))
    size, known = encoder.shape()["vocabulary"], config.get("vocab_size")
    if isinstance(known, int) and size > known:
        raise PackageError(f"the tokenizer has {size:,} tokens, and the network knows {known:,}")
    if encoder.config.max_length < places:
        notes.append(f"texts are cut to {encoder.config.max_length} tokens, as the folder says")
    return encoder, notes


def write_tokenizer(encoder: TextEncoder, folder: Path) -> None:
    """`tokenizer.json`, and what the library must know beside it."""
    special = encoder.config.special
    called = {names[0]: special[role] for role, names in ROLES.items() if role in special}
    if "end" in special:
        called["eos_token"] = special["end"]
    if "begin" in special:
        called["bos_token"] = special["begin"]
    said = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": encoder.config.max_length,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **called,
    }
    (folder / TOKENIZER_FILE).write_text(encoder.tokenizer, encoding="utf-8")
    for name, content in ((CONFIG, said), (SPECIAL, called)):
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _converted(folder: Path) -> str:
    """The library's own conversion, which heeds `do_lower_case` and the like."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return str(tokenizer.backend_tokenizer.to_str())
    except Exception as error:  # the library raises what it met, of any kind
        raise PackageError(f"the tokenizer cannot be read by Hugging Face's library: {error}") from error


def _special(folder: Path, said: Mapping[str, Any], content: str) -> dict[str, str]:
    """What the folder calls its special tokens, of those that are in its vocabulary."""
    listed = {**said, **(read_json(folder / SPECIAL) if (folder / SPECIAL).is_file() else {})}
    names = {role: [_text(listed.get(name)) for name in known] for role, known in ROLES.items()}
    # As JSON writes it, whether as a key or as the content of an added token.
    return {
        role: found
        for role, told in names.items()
        if (found := next((name for name in told if name and json.dumps(name, ensure_ascii=False) in content), None))
    }


def _text(token: Any) -> str | None:
    name = token.get("content") if isinstance(token, dict) else token
    return name if isinstance(name, str) else None
