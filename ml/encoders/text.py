"""Texts of any language become rows of token numbers, and back.

N rows, B batch, T tokens of the longest.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.encoders.base import Column, Encoder
from ml.errors import PackageError, SpecError
from ml.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

FILE: Final = "tokenizer.json"
"""As Hugging Face's library writes and reads it."""
LARGEST_VOCABULARY: Final = 16_384
RAREST: Final = 5
"""Letters that stood together less often do not become a token: nothing can be learned of what is hardly ever seen.
On 6,920 sentences of film reviews this gives 6,456 tokens, where words alone would be 14,000."""
MAX_TOKENS: Final = 512
"""Tokens a text is cut to, unless asked: attention to twice as many costs four times as much."""
SHORTEST: Final = 32
"""And at least to so many, however short the texts were that were learned from: others may come."""
CHARACTERS_PER_TOKEN: Final = 64
"""More than the longest has, but for runs of blanks: no more of a text is read than may be kept."""
LOOKED_AT: Final = 2_000
"""So many texts, evenly spread, decide the length."""
LETTERS_LOOKED_AT: Final = 20_000_000
"""So many decide the vocabulary; more would take minutes and change little."""
WORDS_ASIDE: Final = ("[PAD]", "[UNK]", "[BEGIN]", "[END]", "[MASK]")
KNOWN_AS: Final[Mapping[str, tuple[str, ...]]] = {
    "padding": ("[PAD]", "<pad>", "<|padding|>", "<|endoftext|>", "</s>", "<|end_of_text|>"),
    "unknown": ("[UNK]", "<unk>", "<|endoftext|>"),
    "begin": ("[BEGIN]", "[CLS]", "<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>"),
    "end": ("[END]", "[SEP]", "</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"),
    "mask": ("[MASK]", "<mask>"),
}
"""What given tokenizers call their special tokens, the likeliest first."""


class TextConfig(Config):
    """How text is cut into tokens. `vocabulary_size` is at most; fewer where the data does not justify it."""

    kind: Literal["byte_bpe", "wordpiece", "given"] = "byte_bpe"
    """Frequent rows of bytes, which any text can be written in and read back from exactly (Sennrich et al. 2016,
    arXiv:1508.07909; Radford et al. 2019); or pieces of words, without case, where rare letters are unknown (Schuster &
    Nakajima 2012). A tokenizer that came with a model is given."""
    vocabulary_size: int = Field(LARGEST_VOCABULARY, ge=16, le=1_000_000)
    max_length: int = Field(MAX_TOKENS, ge=4, le=65_536)
    """Tokens, those that begin and end a text included; what is longer is cut, and counted."""
    special: dict[Literal["padding", "unknown", "begin", "end", "mask"], str] = Field(default_factory=dict)
    """What it is for -> how the tokenizer calls it. Not every tokenizer has all of them."""


class TextEncoder(Encoder[str]):
    """Raw value: str. The tokenizer's own template says which tokens begin and end a text.

    What looks like a special token in a text is read as plain letters: nobody ends a text by writing "[END]".
    """

    name = "text"
    signal = Signal.TOKENS
    config_type = TextConfig

    def __init__(self, config: TextConfig, tokenizer: str) -> None:
        super().__init__(config)
        self.tokenizer = tokenizer
        """The content of `tokenizer.json`, unchanged."""

    @classmethod
    def learn(cls, values: Sequence[str], asked: Mapping[str, Any]) -> Self:
        """Train a tokenizer on the texts; the length is that of 99 in 100 of them, or of all where none is far longer.

        Raises `SpecError` where the data has too little for what was asked.
        """
        special = {**dict(zip(KNOWN_AS, WORDS_ASIDE, strict=True)), **asked.get("special", {})}
        config = TextConfig.model_validate({**asked, "special": special})
        if config.kind == "given":
            raise SpecError("only a base model brings a tokenizer", hint="Ask for byte_bpe or wordpiece.")
        tokenizer = _trained(values, config)
        learned = config.model_copy(
            update={
                "vocabulary_size": tokenizer.get_vocab_size(),
                "max_length": asked.get("max_length") or _length(tokenizer, values),
            }
        )
        return cls(learned, tokenizer.to_str())

    @classmethod
    def given(cls, tokenizer: str, *, max_length: int, special: Mapping[str, str] | None = None) -> Self:
        """Around the content of a `tokenizer.json`; what it calls its special tokens is found out unless said.

        Raises `PackageError` where it is none, or has no token to fill up with.
        """
        known = _read(tokenizer).get_vocab(with_added_tokens=True)
        found = {role: next((name for name in names if name in known), None) for role, names in KNOWN_AS.items()}
        said = {**{role: name for role, name in found.items() if name}, **(special or {})}
        if missing := [name for name in said.values() if name not in known] or ({"padding", "end"} - said.keys()):
            raise PackageError(f"the tokenizer has no token for {', '.join(sorted(missing))}")
        config = TextConfig.model_validate(
            {"kind": "given", "vocabulary_size": max(16, len(known)), "max_length": max_length, "special": said}
        )
        return cls(config, tokenizer)

    def encode(self, values: Sequence[str]) -> list[np.ndarray]:
        """int32 [T] of each, begun and ended as the tokenizer does, cut to `max_length`."""
        most = CHARACTERS_PER_TOKEN * self.config.max_length
        encoded = self._tool.encode_batch_fast([str(value)[:most] for value in values])
        cut = sum(bool(each.overflowing) for each in encoded)
        self.lose(f"cut to {self.config.max_length} tokens", cut)
        # A text of blanks alone may leave nothing, and a row must have something that is real.
        rows = [np.array(each.ids or [self.token("end")], dtype=np.int32) for each in encoded]
        unknown = self.tokens.get("unknown")
        if unknown is not None and unknown not in (self.tokens.get("begin"), self.tokens.get("end")):
            self.lose("with parts that the vocabulary does not know", sum(bool((row == unknown).any()) for row in rows))
        return rows

    def pieces(self, values: Sequence[str]) -> list[np.ndarray]:
        """int32 [T] of each, whole, without what begins or ends a text: for who cuts or puts together by themselves."""
        encoded = self._uncut.encode_batch_fast([str(value) for value in values], add_special_tokens=False)
        return [np.array(each.ids, dtype=np.int32) for each in encoded]

    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """`signal`: int64 [B, T], `mask`: bool [B, T]; padding stands behind."""
        longest = max((len(row) for row in column), default=0)
        signal = np.full((len(column), longest), self.token("padding"), dtype=np.int64)
        mask = np.zeros(signal.shape, dtype=bool)
        for row, tokens in enumerate(column):
            signal[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = True
        return {"signal": signal, "mask": mask}

    def decode(self, tokens: Sequence[int] | np.ndarray) -> str:
        """The text of token numbers; special ones are left out."""
        text: str = self._tool.decode([int(each) for each in tokens], skip_special_tokens=True)
        return text

    def shape(self) -> dict[str, int]:
        """Vocabulary, length, and the numbers of the special tokens there are."""
        return {"vocabulary": self._size, "length": self.config.max_length, **self.tokens}

    def token(self, role: str) -> int:
        """The number of a special token: padding, unknown, begin, end or mask; raises `PackageError` without one."""
        if role not in self.tokens:
            raise PackageError(f"the tokenizer has no token for {role}; it has {', '.join(self.tokens)}")
        return self.tokens[role]

    @cached_property
    def tokens(self) -> dict[str, int]:
        """What a special token is for -> its number."""
        return {role: int(self._tool.token_to_id(name)) for role, name in self.config.special.items()}

    def save(self, directory: Path) -> None:
        """`tokenizer.json` beside `encoder.json`."""
        super().save(directory)
        (directory / FILE).write_text(self.tokenizer, encoding="utf-8")

    @classmethod
    def restore(cls, config: TextConfig, directory: Path) -> Self:
        """With the tokenizer that lies beside the config."""
        encoder = cls(config, (directory / FILE).read_text(encoding="utf-8"))
        if None in (encoder._tool.token_to_id(name) for name in config.special.values()):
            raise ValueError("its special tokens are not in its vocabulary")
        return encoder

    @cached_property
    def _size(self) -> int:
        return int(self._tool.get_vocab_size(with_added_tokens=True))

    @cached_property
    def _tool(self) -> Any:  # tokenizers.Tokenizer
        tool = _read(self.tokenizer)
        tool.enable_truncation(self.config.max_length)
        return tool

    @cached_property
    def _uncut(self) -> Any:
        return _read(self.tokenizer)


def _read(tokenizer: str) -> Any:
    # Imported here: a web process may hold many models and be asked for none that reads text.
    from tokenizers import Tokenizer

    try:
        tool = Tokenizer.from_str(tokenizer)
    except Exception as error:  # the library raises nothing narrower
        raise PackageError(f"tokenizer.json cannot be read: {error}") from None
    tool.no_padding()
    tool.no_truncation()
    tool.encode_special_tokens = True
    return tool


def _trained(values: Sequence[str], config: TextConfig) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    special = list(config.special.values())
    limits: dict[str, Any] = {"vocab_size": config.vocabulary_size, "min_frequency": RAREST, "special_tokens": special}
    trainer: Any
    if config.kind == "byte_bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            **limits, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token=config.special["unknown"]))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(**limits, show_progress=False)
    tokenizer.train_from_iterator(_some(values), trainer)
    begin, end = config.special["begin"], config.special["end"]
    ends = [(each, tokenizer.token_to_id(each)) for each in (begin, end)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{begin} $A {end}", special_tokens=ends)
    return tokenizer


def _some(values: Sequence[str]) -> Iterator[str]:
    """As many texts, from all over, as have the letters that are looked at."""
    step, letters = 1, 0
    sample = [len(values[index]) for index in range(0, len(values), -(-len(values) // LOOKED_AT) or 1)]
    if sample:
        step = max(1, round(len(values) * float(np.mean(sample)) / LETTERS_LOOKED_AT))
    for index in range(0, len(values), step):
        text = values[index][:LETTERS_LOOKED_AT]
        letters += len(text)
        yield text
        if letters >= LETTERS_LOOKED_AT:
            return


def _length(tokenizer: Any, values: Sequence[str]) -> int:
    some = [values[index] for index in range(0, len(values), -(-len(values) // LOOKED_AT) or 1)]
    begun = [text[: CHARACTERS_PER_TOKEN * MAX_TOKENS] for text in some]
    lengths = np.array([len(each) for each in tokenizer.encode_batch_fast(begun)])
    most, longest = np.percentile(lengths, 99), lengths.max()
    kept = longest if longest <= 2 * most else most
    return int(min(MAX_TOKENS, max(SHORTEST, -(-int(kept) // 16) * 16)))
