"""Transcripts of recognizers and annotators beside audio clips."""

from pathlib import Path

import pytest

from ml.data.dataset import Dataset
from tests.support.ml import samples
from tests.support.ml.dataset_files import make_zip, upload

COUNT = 24
CLIPS = samples.VALUES["audio"](COUNT)
ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"/>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="50"/></TIME_ORDER>
<TIER TIER_ID="words" PARTICIPANT="spk{speaker}"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="x" TIME_SLOT_REF1="a" TIME_SLOT_REF2="b">
<ANNOTATION_VALUE>{words}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="gloss" PARENT_REF="words"><ANNOTATION><REF_ANNOTATION ANNOTATION_REF="x">
<ANNOTATION_VALUE>other</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>
</ANNOTATION_DOCUMENT>"""


def words(row: int) -> str:
    return f"alpha bravo {chr(97 + row)}"


def as_ctm() -> str:
    lines = [
        f"{row} 1 0.{place}0 0.10 {word} 0.9" for row in range(COUNT) for place, word in enumerate(words(row).split())
    ]
    return "\n".join([";; a comment", *reversed(lines)])


def as_mlf(*, has_times: bool) -> str:
    lines = ["#!MLF!#"]
    for row in range(COUNT):
        spoken = ["sil", *words(row).split(), "sp"]
        times = [f"{place}00000 {place + 1}00000 " if has_times else "" for place in range(len(spoken))]
        lines += [f'"*/{row}.lab"', *(f"{time}{word}" for time, word in zip(times, spoken, strict=True)), "."]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "transcripts",
    [
        {"all.ctm": as_ctm()},
        {"words.mlf": as_mlf(has_times=False)},
        {"words.mlf": as_mlf(has_times=True)},
        {f"{row}.eaf": ELAN.format(speaker=row % 3, words=words(row)) for row in range(COUNT)},
    ],
    ids=["ctm", "mlf", "mlf with times", "eaf"],
)
def test_words_with_times_are_the_text_of_their_clip(tmp_path: Path, transcripts: dict[str, str]) -> None:
    members = [(f"{row}.wav", clip) for row, clip in enumerate(CLIPS)]
    members += [(name, text.encode()) for name, text in transcripts.items()]
    report = upload(tmp_path, {"a.zip": make_zip(members)})
    dataset = Dataset.open(tmp_path / "dataset")

    assert (report.state, report.accepted) == ("ready", COUNT)
    texts = {text for split in report.splits for text in dataset.rows(split).columns["text"]}
    assert texts == {words(row) for row in range(COUNT)}


def test_participants_of_elan_are_speakers(tmp_path: Path) -> None:
    members = [(f"{row}.wav", clip) for row, clip in enumerate(CLIPS)]
    members += [(f"{row}.eaf", ELAN.format(speaker=row % 3, words=words(row)).encode()) for row in range(COUNT)]
    upload(tmp_path, {"a.zip": make_zip(members)})

    assert set(Dataset.open(tmp_path / "dataset").rows("train").columns["speaker"]) == {"spk0", "spk1", "spk2"}


def test_a_colon_divides_name_and_text(tmp_path: Path) -> None:
    members = [(f"wav/B{row:03}.wav", clip) for row, clip in enumerate(CLIPS)]
    lines = "".join(f"B{row:03}:{words(row)}\n" for row in range(COUNT))
    report = upload(tmp_path, {"a.zip": make_zip([*members, ("transcript_utf8.txt", lines.encode())])})

    assert (report.state, report.accepted) == ("ready", COUNT)
    assert set(Dataset.open(tmp_path / "dataset").rows("train").columns["text"]) <= {words(row) for row in range(COUNT)}
