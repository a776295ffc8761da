"""Import and export of tokenizers in the files of Hugging Face folders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import torch

from ml.encoders.text import TOKENIZER_FILE, TextEncoder
from ml.errors import PackageError
from ml.learning.interchange.model_archive import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

CONFIG: Final = "tokenizer_config.json"
SPECIAL: Final = "special_tokens_map.json"
SENTENCE: Final = "sentence_bert_config.json"
FILES: Final = (TOKENIZER_FILE, CONFIG, SPECIAL, SENTENCE, "vocab.txt", "vocab.json", "merges.txt", "added_tokens.json")
VOCABULARIES: Final = (TOKENIZER_FILE, "vocab.txt", "vocab.json")
#: Role of a special token -> fields of the library that name it, in order of preference.
ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "padding": ("pad_token", "eos_token"),
    "unknown": ("unk_token",),
    "begin": ("cls_token", "bos_token"),
    "end": ("sep_token", "eos_token"),
    "mask": ("mask_token",),
}
MAX_LENGTH_TOKENS: Final = 65_536
#: A larger `model_max_length` is how the library writes that there is no limit.
NO_LIMIT: Final = 1_000_000
#: Numbers of tokens on which imported networks are compared with the library, as far as they accept them.
LENGTHS: Final = (1, 2, 7, 33, 130, 400)
#: Texts on which imported and exported networks are compared.
EXAMPLES: Final = (
    "A quiet, moving film.",
    "It was not good: two hours of my life that nobody gives back to me, and a headache to take home.",
    "No.",
    "Ünïcödé, 中文 and 42 % of émigrés - all in one sentence, with a tab\tand a line\nbreak.",
    "The third time one sees it, the plot makes even less sense. " * 6,
)


def read_tokenizer(folder: Path, config: Mapping[str, Any], *, max_length: int) -> tuple[TextEncoder, list[str]]:
    """Return an encoder with the folder's tokenizer, and notes for the user.

    Texts are cut to at most `max_length` tokens, fewer if the folder says so. `tokenizer.json` is used unchanged; older
    files are converted by the library. Raises `PackageError`.
    """
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise PackageError(
            f"the folder has no tokenizer: none of {', '.join(VOCABULARIES)}",
            hint="`tokenizer.save_pretrained(folder)` writes it.",
        )
    tokenizer_config = _read_optional(folder / CONFIG)
    if tokenizer_config.get("auto_map"):
        raise PackageError(
            f"{CONFIG} requires its own code (auto_map), and code of a model is never run",
            hint="Send a model whose tokenizer loads without trust_remote_code.",
        )
    path, notes = folder / TOKENIZER_FILE, []
    content = path.read_text(encoding="utf-8") if path.is_file() else _convert(folder)
    encoder = TextEncoder.from_tokenizer(
        content,
        max_length=min(max_length, *_length_limits(folder, tokenizer_config)),
        special=_special_tokens(folder, tokenizer_config, content),
    )
    size, network_size = encoder.shape()["vocabulary"], config.get("vocab_size")
    if isinstance(network_size, int) and size > network_size:
        raise PackageError(
            f"the tokenizer has {size:,} tokens, but the vocabulary of the network has {network_size:,}",
            hint="Send the tokenizer that the model was trained with.",
        )
    if encoder.config.max_length < max_length:
        notes.append(f"texts are cut to {encoder.config.max_length} tokens, the limit of the folder")
    return encoder, notes


def write_tokenizer(encoder: TextEncoder, folder: Path) -> None:
    """Write `tokenizer.json` and the files that the library needs beside it."""
    special = encoder.config.special
    named_tokens = {fields[0]: special[role] for role, fields in ROLES.items() if role in special}
    if "end" in special:
        named_tokens["eos_token"] = special["end"]
    if "begin" in special:
        named_tokens["bos_token"] = special["begin"]
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": encoder.config.max_length,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **named_tokens,
    }
    (folder / TOKENIZER_FILE).write_text(encoder.tokenizer, encoding="utf-8")
    for name, content in ((CONFIG, tokenizer_config), (SPECIAL, named_tokens)):
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def make_token_batches(
    slot: str, shape: Mapping[str, int], *, lengths: Sequence[int] = LENGTHS
) -> list[dict[str, Any]]:
    """Return random token ids [B, T] and masks [B, T].

    Each length comes alone, then all of them padded to the longest. `shape` is that of a text encoder.
    """
    generator = torch.Generator().manual_seed(0)
    padding = shape.get("padding")
    allowed = torch.tensor([token for token in range(shape["vocabulary"]) if token != padding])
    counts = sorted({min(length, shape["length"]) for length in lengths})
    rows = [allowed[torch.randint(len(allowed), (count,), generator=generator)] for count in counts]
    alone = [_pad_tokens(slot, [row], padding or 0) for row in rows]
    return [*alone, _pad_tokens(slot, rows, padding or 0)]


def _length_limits(folder: Path, tokenizer_config: Mapping[str, Any]) -> list[int]:
    limits = [MAX_LENGTH_TOKENS]
    if isinstance(limit := tokenizer_config.get("model_max_length"), int | float) and 0 < limit < NO_LIMIT:
        limits.append(int(limit))
    if isinstance(limit := _read_optional(folder / SENTENCE).get("max_seq_length"), int) and limit > 0:
        limits.append(limit)
    return limits


def _convert(folder: Path) -> str:
    """Return `tokenizer.json` as the library converts older files, which heeds `do_lower_case` and the like."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return str(tokenizer.backend_tokenizer.to_str())
    except Exception as error:  # the library raises exceptions of any class
        raise PackageError(
            f"the transformers library cannot load the tokenizer: {error}",
            hint="`tokenizer.save_pretrained(folder)` writes tokenizer.json, which needs no conversion.",
        ) from error


def _special_tokens(folder: Path, tokenizer_config: Mapping[str, Any], content: str) -> dict[str, str]:
    """Return the special tokens by role, those that are in the vocabulary."""
    fields = {**tokenizer_config, **_read_optional(folder / SPECIAL)}
    special = {}
    for role, names in ROLES.items():
        tokens = (_token_text(fields.get(name)) for name in names)
        # As JSON writes it, as a key or as the content of an added token.
        token = next((token for token in tokens if token and json.dumps(token, ensure_ascii=False) in content), None)
        if token is not None:
            special[role] = token
    return special


def _token_text(token: Any) -> str | None:
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _read_optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _pad_tokens(slot: str, rows: Sequence[Tensor], padding: int) -> dict[str, Any]:
    mask = [torch.ones(len(row), dtype=torch.bool) for row in rows]
    return {
        slot: torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=padding),
        f"{slot}_mask": torch.nn.utils.rnn.pad_sequence(mask, batch_first=True, padding_value=False),
    }
