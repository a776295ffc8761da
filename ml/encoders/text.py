"""Tokenizer: trains byte-pair encoding (BPE), and converts texts to token ids and back.

N rows, B batch, T tokens of the longest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.encoders.base import Column, Encoder
from ml.errors import PackageError, SpecError
from ml.preprocessing.long_texts import (
    TokenizedText,
    count_tokens,
    special_tokens,
    tokenize_long,
    truncation_fields,
)
from ml.preprocessing.text_pieces import PIECE_CHARACTERS, batched_by_length, split_exactly
from ml.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

#: File in the format of Hugging Face's tokenizers library.
TOKENIZER_FILE: Final = "tokenizer.json"
#: Prefix of wordpieces that continue a word.
CONTINUING: Final = "##"
MAX_VOCABULARY: Final = 16_384
#: Default minimum frequency of a merge: too rare a token is not learned. On 6,920 sentences of movie reviews this gives
#: 6,456 tokens, where words alone would be 14,000.
MIN_FREQUENCY: Final = 5
#: Options that make each word of the training texts a token, in lower case.
WHOLE_WORDS: Final[Mapping[str, Any]] = {"kind": "wordpiece", "min_frequency": 1}
#: Characters of a word; where more than a twentieth of what stands between spaces is longer, the script has no spaces.
MAX_WORD_CHARACTERS: Final = 20
#: Default limit of the length: attention to twice as many tokens costs four times as much.
MAX_TOKENS: Final = 512
#: Default minimum of the length, however short the training texts are: longer ones may come later.
MIN_TOKENS: Final = 32
#: Characters read per token of the limit: more than the longest token has, except for runs of whitespace.
CHARACTERS_PER_TOKEN: Final = 64
#: Texts that are encoded at a time. The library's result takes many times the memory of its token ids.
BLOCK_TEXTS: Final = 8_192
#: Texts, evenly spaced, that decide the length.
INSPECTED_TEXTS: Final = 2_000
#: Characters that decide the vocabulary; more would take minutes and change little.
MAX_TRAINING_CHARACTERS: Final = 20_000_000
SPECIAL_TOKENS: Final = ("[PAD]", "[UNK]", "[BEGIN]", "[END]", "[MASK]")
#: Names of special tokens in existing tokenizers, by role, the most likely first.
SPECIAL_TOKEN_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "padding": ("[PAD]", "<pad>", "<|padding|>", "<|endoftext|>", "</s>", "<|end_of_text|>"),
    "unknown": ("[UNK]", "<unk>", "<|endoftext|>"),
    "begin": ("[BEGIN]", "[CLS]", "<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>"),
    "end": ("[END]", "[SEP]", "</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"),
    "mask": ("[MASK]", "<mask>"),
}


class TextConfig(Config):
    """Kind of tokenizer, size of its vocabulary, and maximum length of a text."""

    kind: Literal["byte_bpe", "wordpiece", "given"] = Field(
        "byte_bpe",
        description="`byte_bpe`: byte-level BPE, lossless for any text (Sennrich et al. 2016; Radford et al. 2019). "
        "`wordpiece`: pieces of words in lower case, rare characters are unknown (Schuster & Nakajima 2012). `given`: "
        "a tokenizer that came with a model.",
    )
    vocabulary_size: int = Field(
        MAX_VOCABULARY, ge=16, le=1_000_000, description="Maximum; the vocabulary is smaller for little data."
    )
    min_frequency: int = Field(
        MIN_FREQUENCY,
        ge=1,
        le=1_000_000,
        description="Minimum number of times that a token occurs in the training texts.",
    )
    max_length: int = Field(
        MAX_TOKENS, ge=4, le=65_536, description="Tokens, including begin and end; longer texts are cut and counted."
    )
    special: dict[Literal["padding", "unknown", "begin", "end", "mask"], str] = Field(
        default_factory=dict, description="Special tokens by role. Not every tokenizer has all of them."
    )


class TextEncoder(Encoder[str | TokenizedText]):
    """Encodes texts with a tokenizer.

    The template of the tokenizer adds the tokens that begin and end a text. A special token written in a text is read
    as plain characters: "[END]" in a text does not end it.
    """

    name = "text"
    signal = Signal.TOKENS
    config_type = TextConfig
    can_truncate = True

    def __init__(self, config: TextConfig, tokenizer: str) -> None:
        super().__init__(config)
        #: Content of `tokenizer.json`, unchanged.
        self.tokenizer = tokenizer

    @classmethod
    def learn(cls, values: Sequence[str | TokenizedText], options: Mapping[str, Any]) -> Self:
        """Train a tokenizer on the texts.

        The length is that of 99 % of them, or of all if none is much longer. The option `prefers_words` of a task reads
        whole words, however rare, if the script separates them. Raises `SpecError` for the kind `given`.
        """
        options = dict(options)
        if options.pop("prefers_words", False) and _has_words(values):
            options = {**WHOLE_WORDS, **options}
        special = {**dict(zip(SPECIAL_TOKEN_NAMES, SPECIAL_TOKENS, strict=True)), **options.get("special", {})}
        config = TextConfig.model_validate({**options, "special": special})
        if config.kind == "given":
            raise SpecError("only a base model has a given tokenizer", hint="Set kind to byte_bpe or wordpiece.")
        # Not copied: a column of a dataset decodes a text when it is read.
        texts = cast("Sequence[str]", values)
        tokenizer = _train_tokenizer(texts, config)
        learned = config.model_copy(
            update={
                "vocabulary_size": tokenizer.get_vocab_size(),
                "max_length": options.get("max_length") or _choose_length(tokenizer, texts),
            }
        )
        return cls(learned, tokenizer.to_str())

    @classmethod
    def from_tokenizer(cls, tokenizer: str, *, max_length: int, special: Mapping[str, str] | None = None) -> Self:
        """Make an encoder from the content of a `tokenizer.json`.

        Special tokens not in `special` are recognized by their usual names. Raises `PackageError` if the content is
        invalid, or without a token for padding or the end.
        """
        vocabulary = load_tokenizer(tokenizer).get_vocab(with_added_tokens=True)
        usual = {
            role: next((name for name in names if name in vocabulary), None)
            for role, names in SPECIAL_TOKEN_NAMES.items()
        }
        roles = {**{role: name for role, name in usual.items() if name}, **(special or {})}
        if missing := [name for name in roles.values() if name not in vocabulary] or (
            {"padding", "end"} - roles.keys()
        ):
            raise PackageError(
                f"the tokenizer has no token for {', '.join(sorted(missing))}",
                hint="Add it with `tokenizer.add_special_tokens`, and save the model again.",
            )
        config = TextConfig.model_validate(
            {"kind": "given", "vocabulary_size": max(16, len(vocabulary)), "max_length": max_length, "special": roles}
        )
        return cls(config, tokenizer)

    def encode(self, values: Sequence[str | TokenizedText]) -> list[np.ndarray]:
        """Encode each text to int32 [T] with begin and end tokens, cut to `max_length`."""
        if any(isinstance(value, TokenizedText) for value in values):
            texts = iter(self.encode([value for value in values if isinstance(value, str)]))
            return [next(texts) if isinstance(value, str) else self._require_token(value) for value in values]
        rows: list[np.ndarray] = []
        cut = unknown = 0
        for start in range(0, len(values), BLOCK_TEXTS):
            block = self._encode_block(values[start : start + BLOCK_TEXTS])
            rows += block.rows
            cut += block.cut
            unknown += block.unknown
        self.count_loss(f"cut to {self.config.max_length} tokens", cut)
        self.count_loss("with parts that the vocabulary does not have", unknown)
        return rows

    def _encode_block(self, texts: Sequence[Any]) -> _Block:
        max_characters = CHARACTERS_PER_TOKEN * self.config.max_length
        encodings = self._tokenizer.encode_batch_fast([str(text)[:max_characters] for text in texts])
        # Whitespace alone may give no token, and a row must have at least one.
        ids = [encoding.ids or [self.token("end")] for encoding in encodings]
        ends = np.cumsum([len(row) for row in ids])
        tokens = np.fromiter(chain.from_iterable(ids), np.int32, count=int(ends[-1]))
        starts = ends - [len(row) for row in ids]
        rows = [tokens[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        code, unknown = self.tokens.get("unknown"), 0
        if code is not None and code not in (self.tokens.get("begin"), self.tokens.get("end")):
            unknown = int(np.logical_or.reduceat(tokens == code, starts).sum())
        return _Block(rows, cut=sum(bool(encoding.overflowing) for encoding in encodings), unknown=unknown)

    def split(self, value: str | TokenizedText, *, has_windows: bool) -> list[str | TokenizedText]:
        """Return the windows of a text, or the text itself.

        A very long text is tokenized here, since that would delay the batch it is in.
        """
        if isinstance(value, TokenizedText) or not (has_windows or self.is_very_long(value)):
            return [value]
        return [*tokenize_long(self._untruncated, value, max_length=self.config.max_length, has_windows=has_windows)]

    def truncation(
        self, value: str | TokenizedText, encoded: np.ndarray, *, length: int | None = None
    ) -> dict[str, Any]:
        """Return how many tokens of a text were read.

        Those that begin and end a text do not count. `length` is that of the text, if it is known.
        """
        if isinstance(value, TokenizedText):
            return truncation_fields(value.retained, value.length, value.windows)
        if len(encoded) < self.config.max_length:
            return {}
        length = self.count(value) if length is None else length
        return truncation_fields(min(length, self._content_length), length)

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, without begin and end tokens.

        That of a very long text is an estimate.
        """
        return count_tokens(self._untruncated, text, max_length=self.config.max_length)

    def list_tokens(self, text: str, *, has_special_tokens: bool) -> list[dict[str, Any]]:
        """Return the tokens of a text, uncut.

        Each has its id, its text, and its place in characters. Tokens that begin and end a text, with
        `has_special_tokens`, have no place.
        """
        encoding = self._untruncated.encode(text, add_special_tokens=has_special_tokens)
        parts = zip(encoding.ids, encoding.tokens, encoding.offsets, encoding.special_tokens_mask, strict=True)
        return [
            {
                "id": token,
                "text": name if is_special else text[start:stop],
                "special": bool(is_special),
                "start": None if is_special else start,
                "stop": None if is_special else stop,
            }
            for token, name, (start, stop), is_special in parts
        ]

    def is_very_long(self, value: str | TokenizedText) -> bool:
        """Return whether `encode` reads the beginning of a text alone, whatever its tokens are."""
        return isinstance(value, str) and len(value) > CHARACTERS_PER_TOKEN * int(self.config.max_length)

    def tokenize_whole(self, values: Sequence[str]) -> list[np.ndarray]:
        """Encode each text to int32 [T], uncut and without begin and end tokens."""
        return list(self.iterate_whole(values))

    def iterate_whole(self, values: Sequence[str]) -> Iterator[np.ndarray]:
        """Yield what `tokenize_whole` returns, reading the texts in blocks."""
        for start in range(0, len(values), BLOCK_TEXTS):
            texts = [str(value) for value in values[start : start + BLOCK_TEXTS]]
            pieces = [[*split_exactly(text)] if self.config.kind == "byte_bpe" else [text] for text in texts]
            tokens = self._tokenize_pieces(chain.from_iterable(pieces))
            for parts in pieces:
                row = [next(tokens) for _ in parts]
                yield row[0] if len(row) == 1 else np.concatenate(row)

    def _tokenize_pieces(self, pieces: Iterable[str]) -> Iterator[np.ndarray]:
        for batch in batched_by_length(pieces, PIECE_CHARACTERS):
            for encoding in self._untruncated.encode_batch_fast(batch, add_special_tokens=False):
                yield np.array(encoding.ids, dtype=np.int32)

    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """`signal`: int64 [B, T], padded at the end; `mask`: bool [B, T]."""
        longest = max((len(row) for row in column), default=0)
        signal = np.full((len(column), longest), self.token("padding"), dtype=np.int64)
        mask = np.zeros(signal.shape, dtype=bool)
        for row, tokens in enumerate(column):
            signal[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = True
        return {"signal": signal, "mask": mask}

    def decode(self, tokens: Sequence[int] | np.ndarray) -> str:
        """Return the text of token ids; special tokens are skipped."""
        text: str = self._tokenizer.decode([int(token) for token in tokens], skip_special_tokens=True)
        return text

    def name_of(self, token: int) -> str | None:
        """Return the entry of a token in the vocabulary; None for no token."""
        name: str | None = self._tokenizer.id_to_token(token)
        return name

    def shape(self) -> dict[str, int]:
        """Return vocabulary, length, and the ids of the special tokens."""
        return {"vocabulary": self._size, "length": self.config.max_length, **self.tokens}

    def token(self, role: str) -> int:
        """Return the id of a special token by role; raises `PackageError` if there is none.

        Roles are padding, unknown, begin, end and mask.
        """
        if role not in self.tokens:
            raise PackageError(f"the tokenizer has no token for {role}; it has {', '.join(self.tokens)}")
        return self.tokens[role]

    @cached_property
    def tokens(self) -> dict[str, int]:
        """Ids of the special tokens by role."""
        return {role: int(self._tokenizer.token_to_id(name)) for role, name in self.config.special.items()}

    def save(self, directory: Path) -> None:
        """Write `tokenizer.json` beside `encoder.json`."""
        super().save(directory)
        (directory / TOKENIZER_FILE).write_text(self.tokenizer, encoding="utf-8")

    @classmethod
    def restore(cls, config: TextConfig, directory: Path) -> Self:
        """Load the tokenizer beside the config."""
        encoder = cls(config, (directory / TOKENIZER_FILE).read_text(encoding="utf-8"))
        if None in (encoder._tokenizer.token_to_id(name) for name in config.special.values()):
            raise ValueError("its special tokens are not in its vocabulary")
        return encoder

    def _require_token(self, text: TokenizedText) -> np.ndarray:
        return text.tokens if len(text.tokens) else np.array([self.token("end")], dtype=np.int32)

    @cached_property
    def _content_length(self) -> int:
        prefix, suffix = special_tokens(self._untruncated)
        return max(1, int(self.config.max_length) - len(prefix) - len(suffix))

    @cached_property
    def _size(self) -> int:
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    @cached_property
    def _tokenizer(self) -> Any:  # tokenizers.Tokenizer
        tokenizer = load_tokenizer(self.tokenizer)
        tokenizer.enable_truncation(self.config.max_length)
        return tokenizer

    @cached_property
    def _untruncated(self) -> Any:
        return load_tokenizer(self.tokenizer)


@dataclass(frozen=True, slots=True)
class _Block:
    """Encoded texts, and how many of them were cut or have unknown parts."""

    rows: list[np.ndarray]
    cut: int
    unknown: int


def load_tokenizer(tokenizer: str) -> Any:  # a tokenizers.Tokenizer
    """Load the content of a `tokenizer.json`, which reads special tokens in texts as plain characters.

    Raises `PackageError` if it is invalid.
    """
    # Imported here: a web process may never load a model that reads text.
    from tokenizers import Tokenizer

    try:
        loaded = Tokenizer.from_str(tokenizer)
    except Exception as error:  # the library raises nothing narrower
        hint = "`tokenizer.save_pretrained(folder)` writes a valid one."
        raise PackageError(f"tokenizer.json cannot be read: {error}", hint=hint) from None
    loaded.no_padding()
    loaded.no_truncation()
    loaded.encode_special_tokens = True
    return loaded


def _train_tokenizer(values: Sequence[str], config: TextConfig) -> Any:
    from tokenizers import processors

    train = _train_byte_bpe if config.kind == "byte_bpe" else _train_wordpiece
    tokenizer = train(values, config)
    begin, end = config.special["begin"], config.special["end"]
    ends = [(token, tokenizer.token_to_id(token)) for token in (begin, end)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{begin} $A {end}", special_tokens=ends)
    return tokenizer


def _train_byte_bpe(values: Sequence[str], config: TextConfig) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary_size,
        min_frequency=config.min_frequency,
        special_tokens=list(config.special.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_texts(values), trainer)
    return tokenizer


def _train_wordpiece(values: Sequence[str], config: TextConfig) -> Any:
    """Train WordPiece with the same result in every process.

    The library numbers the continuing characters (`##x`) in hash order, which differs among processes, and breaks ties
    between equally frequent pairs by these numbers. So a first pass without merges collects the characters, and a
    second one gets them sorted, as if they were special tokens.
    """
    special = list(config.special.values())
    characters = _learn_wordpieces(values, config, size=len(special), first=special)
    continuing = sorted(token for token in characters if token not in special and token.startswith(CONTINUING))
    vocabulary = _learn_wordpieces(values, config, size=config.vocabulary_size, first=[*special, *continuing])
    tokenizer = _make_wordpiece(config, vocabulary)
    tokenizer.add_special_tokens(special)
    return tokenizer


def _learn_wordpieces(values: Sequence[str], config: TextConfig, *, size: int, first: list[str]) -> dict[str, int]:
    """Return ids by token: `first`, all characters, then the most frequent merges.

    The vocabulary has at most `size` tokens.
    """
    from tokenizers import trainers

    tokenizer = _make_wordpiece(config, {})
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=config.min_frequency, special_tokens=first, show_progress=False
    )
    tokenizer.train_from_iterator(_training_texts(values), trainer)
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return vocabulary


def _make_wordpiece(config: TextConfig, vocabulary: dict[str, int]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    unknown = config.special["unknown"]
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown, continuing_subword_prefix=CONTINUING))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUING)
    return tokenizer


def _training_texts(values: Sequence[str]) -> Iterator[str]:
    """Evenly spaced texts with at most `MAX_TRAINING_CHARACTERS` characters together."""
    step, characters = 1, 0
    sample = [len(values[index]) for index in range(0, len(values), -(-len(values) // INSPECTED_TEXTS) or 1)]
    if sample:
        step = max(1, round(len(values) * float(np.mean(sample)) / MAX_TRAINING_CHARACTERS))
    for index in range(0, len(values), step):
        text = values[index][:MAX_TRAINING_CHARACTERS]
        characters += len(text)
        yield text
        if characters >= MAX_TRAINING_CHARACTERS:
            return


def _has_words(values: Sequence[str | TokenizedText]) -> bool:
    """Tell whether spaces separate the words, unlike in Thai or Japanese."""
    sample = (values[index] for index in range(0, len(values), -(-len(values) // INSPECTED_TEXTS) or 1))
    lengths = [len(word) for text in sample if isinstance(text, str) for word in text.split()]
    return bool(lengths) and float(np.mean(np.array(lengths) > MAX_WORD_CHARACTERS)) < 1 / 20


def _choose_length(tokenizer: Any, values: Sequence[str]) -> int:
    sample = [values[index] for index in range(0, len(values), -(-len(values) // INSPECTED_TEXTS) or 1)]
    beginnings = [text[: CHARACTERS_PER_TOKEN * MAX_TOKENS] for text in sample]
    lengths = np.array([len(encoding) for encoding in tokenizer.encode_batch_fast(beginnings)])
    percentile, longest = np.percentile(lengths, 99), lengths.max()
    length = longest if longest <= 2 * percentile else percentile
    return int(min(MAX_TOKENS, max(MIN_TOKENS, -(-int(length) // 16) * 16)))
