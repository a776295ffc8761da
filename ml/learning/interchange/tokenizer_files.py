"""Import and export of tokenizers in the files of Hugging Face folders."""

from __future__ import annotations

import json
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any, Final

import torch

from ml.encoders.text import TOKENIZER_FILE, TextEncoder, load_tokenizer
from ml.errors import PackageError, shorten
from ml.learning.interchange.model_archive import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
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
#: Tokens of a vocabulary by which tokenizers are compared, evenly spaced, and how many of them are one text.
COMPARED_TOKENS: Final = 4000
TOKENS_PER_TEXT: Final = 20
SHOWN_TOKENS: Final = 5
#: Texts by which tokenizers are compared: characters of other cases, scripts and forms, spaces, and signs.
COMPARED_TEXTS: Final = (
    *EXAMPLES,
    "GOOD Café CAFÉ cafe\u0301 Straße",
    "two  spaces, three   spaces and a non-breaking\u00a0one",
    " spaces around ",
    "½ ﬁ ① \uff26\uff55\uff4c\uff4c ™ …",
    "don't can't we'll O'Neil's",
    "1234567 3.14 1,000,000 50% $5 a_b-c/d\\e",
    "日本語のテキスト 한국어 русский العربية हिन्दी ไทย",
    "🙂 👩‍👩‍👧 \u200b\ufeff zero width",
    "CamelCaseWord and ALLCAPS and x<y>z [brackets] {braces}",
    "line one\n\n\tline two\r\nline three",
)


def read_tokenizer(
    folder: Path, config: Mapping[str, Any], *, max_length: int, keeps_end: bool = False
) -> tuple[TextEncoder, list[str]]:
    """Return an encoder with the folder's tokenizer, and notes for the user.

    Texts are cut to at most `max_length` tokens, fewer if the folder says so. `tokenizer.json` is used unchanged if the
    library splits texts like it; otherwise, and for older files, it is what the library makes of the folder.
    `keeps_end`: the task reads the end of a text that is too long. Raises `PackageError`.
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
    if tokenizer_config.get("truncation_side") == "left" and not keeps_end:
        raise PackageError(
            f"truncation_side of {CONFIG} is left, which reads the end of a long text; this is not supported",
            hint='Set it to "right": of a text that is too long, the beginning is then read.',
        )
    content, notes = _read_content(folder, {**config, **tokenizer_config})
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


def _read_content(folder: Path, settings: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the content of a `tokenizer.json` that splits texts as the library does, and notes."""
    content, notes = "", []
    if (folder / TOKENIZER_FILE).is_file():
        content = (folder / TOKENIZER_FILE).read_text(encoding="utf-8")
        # Without a class, the library reads the file alone.
        if "tokenizer_class" in settings or "model_type" in settings:
            try:
                converted = _convert(folder)
            except PackageError as error:
                converted = content
                notes.append(f"{error}; {TOKENIZER_FILE} is read without {CONFIG}")
            if difference := _find_difference(content, converted):
                content = converted
                notes.append(
                    f"the transformers library does not split texts as {TOKENIZER_FILE} alone does, because of "
                    f"{CONFIG} or its class: {difference}; texts are split as in the library"
                )
    else:
        content = _convert(folder)
    if _read_optional(folder / SENTENCE).get("do_lower_case") is True:
        content = _lower(content)
        notes.append(f"texts are read in lower case, as {SENTENCE} says (do_lower_case)")
    return content, notes


def _find_difference(content: str, converted: str) -> str | None:
    """Return the first text that two tokenizers split in different ways, with both results."""
    ours, library = load_tokenizer(content), load_tokenizer(converted)
    for text in (*COMPARED_TEXTS, *_texts_of(ours), *_texts_of(library)):
        tokens = ours.encode(text).tokens, library.encode(text).tokens
        if tokens[0] != tokens[1]:
            first = next(place for place, pair in enumerate(zip_longest(*tokens)) if pair[0] != pair[1])
            shown = [" ".join(names[first : first + SHOWN_TOKENS]) or "nothing" for names in tokens]
            return f"of {shorten(text)}, {shown[1]} is read there, and {shown[0]} here"
    return None


def _texts_of(tokenizer: Any) -> Iterator[str]:
    """Yield texts of the vocabulary, and some with every token that was added to it."""
    vocabulary = sorted(tokenizer.get_vocab(with_added_tokens=False))
    step = 1 + len(vocabulary) // COMPARED_TOKENS
    words = [token.removeprefix("##").strip("\u0120\u2581") for token in vocabulary[::step]]
    for start in range(0, len(words), TOKENS_PER_TEXT):
        yield " ".join(words[start : start + TOKENS_PER_TEXT])
    added = (token.content for token in tokenizer.get_added_tokens_decoder().values() if not token.special)
    yield from (f"x{token}y {token} z" for token in islice(added, COMPARED_TOKENS))


def _lower(content: str) -> str:
    """Return the content of a `tokenizer.json` that writes texts in lower case first."""
    fields = json.loads(content)
    before = [fields["normalizer"]] if fields.get("normalizer") else []
    fields["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *before]}
    return json.dumps(fields, ensure_ascii=False)


def _convert(folder: Path) -> str:
    """Return `tokenizer.json` as the library makes it of all files and settings."""
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
