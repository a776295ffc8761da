"""Transcripts with times beside audio clips."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ml.data.dataset import Dataset
from tests.support.ml import samples
from tests.support.ml.dataset_files import make_zip, upload

COUNT = 24
CLIPS = samples.VALUES["audio"](COUNT)
WORDS = ("alpha", "bravo", "charlie", "delta")


def words(row: int, part: int) -> str:
    return f"{WORDS[row % 4]} {WORDS[part]} {chr(97 + row)}"


def as_srt(row: int) -> str:
    return "".join(
        f"{part + 1}\n00:00:00,0{part * 5}0 --> 00:00:00,0{part * 5 + 5}0\n<i>{words(row, part)}</i>\n\n"
        for part in range(2)
    ).replace("0100", "100")


def as_vtt(row: int) -> str:
    cues = (f"00:00.{part * 50:03} --> 00:00.{part * 50 + 50:03}\n{words(row, part)}\n" for part in range(2))
    return "\n".join(["WEBVTT\n", *cues])


def as_stm(row: int) -> str:
    return "".join(
        f"{row} 1 spk{row % 12} 0.{part * 5:02} 0.{part * 5 + 5:02} <o,f0,male> {words(row, part)}\n"
        for part in range(2)
    )


def as_whisper(row: int) -> str:
    segments = [
        {"id": part, "start": part / 20, "end": part / 20 + 0.05, "text": words(row, part)} for part in range(2)
    ]
    return json.dumps({"text": "all of it", "segments": segments, "language": "en"})


@pytest.mark.parametrize(
    ("suffix", "write"), [("srt", as_srt), ("en.vtt", as_vtt), ("stm", as_stm), ("json", as_whisper)]
)
def test_transcripts_with_times_name_parts_of_their_clips(
    tmp_path: Path, suffix: str, write: Callable[[int], str]
) -> None:
    members = [(f"{row}.wav", clip) for row, clip in enumerate(CLIPS)]
    members += [(f"{row}.{suffix}", write(row).encode()) for row in range(COUNT)]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="speech_recognition")
    dataset = Dataset.open(tmp_path / "dataset")
    texts = [text for split in ("train", "validation", "test") for text in dataset.rows(split).columns["text"]]

    assert (report.state, report.accepted) == ("ready", 2 * COUNT)
    assert set(texts) == {words(row, part) for row in range(COUNT) for part in range(2)}


def test_speakers_of_stm_are_read(tmp_path: Path) -> None:
    members = [(f"sph/{row}.wav", clip) for row, clip in enumerate(CLIPS)]
    members += [(f"stm/{row}.stm", as_stm(row).encode()) for row in range(COUNT)]
    upload(tmp_path, {"a.zip": make_zip(members)}, task="speech_recognition")

    assert set(Dataset.open(tmp_path / "dataset").rows("train").columns["speaker"]) <= {
        f"spk{row}" for row in range(12)
    }


def test_names_of_clips_may_have_points(tmp_path: Path) -> None:
    members = [(f"talk.v1.{row}.wav", clip) for row, clip in enumerate(CLIPS)]
    members += [(f"talk.v1.{row}.{('srt', 'en.srt')[row % 2]}", as_srt(row).encode()) for row in range(COUNT)]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="speech_recognition")

    assert (report.state, report.accepted) == ("ready", 2 * COUNT)
