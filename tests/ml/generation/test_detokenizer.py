from collections.abc import Sequence

import pytest

from ml.generation.detokenizer import IncrementalDetokenizer


def by_bytes(tokens: Sequence[int]) -> str:
    """Each token is a byte, which is as hard as it gets."""
    return bytes(tokens).decode("utf-8", "replace")


def spell(text: str, *, stop: Sequence[str] = ()) -> tuple[list[str], IncrementalDetokenizer]:
    spelling = IncrementalDetokenizer(by_bytes, stop=stop)
    return [*[spelling.add(byte) for byte in text.encode()], spelling.finish()], spelling


@pytest.mark.parametrize("text", ["plain", "Grüße, 世界", "👩‍👩‍👧 family", ""])
def test_pieces_are_whole_characters_and_together_the_text(text: str) -> None:
    pieces, spelling = spell(text)
    assert "".join(pieces) == spelling.text == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_bytes_that_become_no_character_are_returned_at_the_end() -> None:
    spelling = IncrementalDetokenizer(by_bytes)
    assert [spelling.add(byte) for byte in b"a\xe4\xb8"] == ["a", "", ""]
    assert spelling.finish() == "\ufffd"


def test_nothing_of_a_stop_string_or_behind_it_is_given() -> None:
    pieces, spelling = spell("one\n\ntwo", stop=["\n\n"])
    assert "".join(pieces) == "one"
    assert spelling.is_stopped


def test_a_text_that_only_begins_like_a_stop_string_is_returned_once_that_is_certain() -> None:
    pieces, spelling = spell("a\nb\n", stop=["\n\n"])
    assert "".join(pieces) == "a\nb\n"
    assert pieces[1] == ""
    assert pieces[2] == "\nb"
    assert not spelling.is_stopped


def test_the_first_of_several_stop_strings_counts() -> None:
    assert "".join(spell("abcdef", stop=["ef", "cd"])[0]) == "ab"


def test_a_space_that_is_written_only_after_another_word_is_not_lost() -> None:
    words = ["the", "cat", "sat"]
    spelling = IncrementalDetokenizer(lambda tokens: " ".join(words[token] for token in tokens))
    assert [spelling.add(0), spelling.add(1), spelling.add(2)] == ["the", " cat", " sat"]
