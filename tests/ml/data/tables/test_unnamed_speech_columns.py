import pytest

from ml.data.tables.unnamed_speech_columns import name_columns

SENTENCES = ("the cat sat", "a dog ran off", "rain fell all day", "he sang", "no one came", "it was late")
WORDS = ("yes", "no", "stop", "yes", "no", "go")


@pytest.mark.parametrize("texts", [SENTENCES, WORDS])
@pytest.mark.parametrize("speakers", [("ann", "bob"), ("12", "7"), ("p225", "p226", "p227")])
@pytest.mark.parametrize(
    "layout",
    [
        ("file_name", "speaker", "text"),
        ("file_name", "text", "speaker"),
        ("file_name", "speaker", "other", "text"),
    ],
)
def test_speakers_are_recognized_by_their_repetition(
    layout: tuple[str, ...], speakers: tuple[str, ...], texts: tuple[str, ...]
) -> None:
    if texts is WORDS and layout[1] == "text":
        pytest.skip("two columns of single words: the speaker is the first, as in Piper and VITS")
    cells = {"file_name": [f"{row}.wav" for row in range(6)], "text": texts, "other": ["EN"] * 6}
    cells["speaker"] = [speakers[row % len(speakers)] for row in range(6)]
    rows = [[cells[name][row] for name in layout] for row in range(6)]
    assert name_columns(rows) == list(layout)


def test_one_speaker_is_a_speaker() -> None:
    rows = [[f"{row}.wav", "ann", text] for row, text in enumerate(SENTENCES)]
    assert name_columns(rows) == ["file_name", "speaker", "text"]


@pytest.mark.parametrize(
    "pairs",
    [
        [(text, text) for text in SENTENCES],
        [(text.capitalize() + ".", text) for text in SENTENCES],
        [("7", "seven"), ("7", "seven"), ("12", "twelve"), ("12", "twelve")],
        [("Yes.", "yes"), ("No.", "no"), ("Yes.", "yes"), ("No.", "no")],
        [(f"in {year}", f"in the year {year} it was") for year in range(6)],
    ],
)
def test_a_text_as_printed_and_normalized_has_no_speaker(pairs: list[tuple[str, str]]) -> None:
    rows = [[f"LJ{row:03}", *pair] for row, pair in enumerate(pairs)]
    assert name_columns(rows) == ["file_name", "written", "text"]


def test_two_columns_are_name_and_text() -> None:
    assert name_columns([["a.wav", "hello"]]) == ["file_name", "text"]
    assert name_columns([]) == ["file_name", "text"]


def test_rows_of_another_width_do_not_count() -> None:
    rows = [[f"{row}.wav", "ann" if row % 2 else "bob", text] for row, text in enumerate(SENTENCES)]
    assert name_columns([*rows, ["6.wav", "ann", "yes", "and no"]]) == ["file_name", "speaker", "text"]


def test_durations_are_no_speakers() -> None:
    rows = [[f"{row}.wav", f"printed {row}", f"spoken {row}", f"{row % 4}.25"] for row in range(20)]
    assert "speaker" not in name_columns(rows)
