"""Transcripts with times beside audio clips."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ml.data.dataset import Dataset
from ml.data.importing.corpora.textgrid import read_segments
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


@pytest.mark.parametrize(
    ("suffix", "write"), [("srt", as_srt), ("vtt", as_vtt), ("json", as_whisper), ("txt", lambda row: words(row, 0))]
)
def test_transcripts_lie_in_a_parallel_folder_of_their_speaker(
    tmp_path: Path, suffix: str, write: Callable[[int], str]
) -> None:
    members = [(f"wav/s{row % 3}/{row // 3}.wav", clip) for row, clip in enumerate(CLIPS)]
    members += [(f"{suffix}/s{row % 3}/{row // 3}.{suffix}", write(row).encode()) for row in range(COUNT)]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="speech_recognition")

    assert (report.state, report.accepted) == ("ready", COUNT if suffix == "txt" else 2 * COUNT)
    rows = Dataset.open(tmp_path / "dataset").rows("train").columns
    assert set(rows["text"]) <= {words(row, part) for row in range(COUNT) for part in range(2)}


TIERS = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.1
tiers? <exists>
size = {count}
item []:
{tiers}"""


def as_tier(number: int, name: str, texts: list[str]) -> str:
    step = 0.1 / len(texts)
    intervals = "".join(
        f"        intervals [{index}]:\n            xmin = {step * (index - 1):.3f} \n"
        f"            xmax = {step * index:.3f} \n"
        f'            text = "{text}" \n'
        for index, text in enumerate(texts, start=1)
    )
    return (
        f'    item [{number}]:\n        class = "IntervalTier"\n        name = "{name}"\n        xmin = 0\n'
        f"        xmax = 0.1\n        intervals: size = {len(texts)}\n{intervals}"
    )


def as_grid(*tiers: tuple[str, list[str]], is_short: bool = False) -> str:
    text = TIERS.format(
        count=len(tiers), tiers="".join(as_tier(number, *tier) for number, tier in enumerate(tiers, start=1))
    )
    values = re.findall(r'"[^"]*(?:""[^"]*)*"|(?<![\w\[.])\d+(?:\.\d+)?(?![\w\]])|<exists>', text)
    return "\n".join(values) if is_short else text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("is_short", [False, True])
def test_words_of_praat_are_the_text_of_their_clip(tmp_path: Path, encoding: str, is_short: bool) -> None:
    members = [(f"{row}.wav", clip) for row, clip in enumerate(CLIPS)]
    for row in range(COUNT):
        spoken = words(row, 1).split()
        grid = as_grid(("phones", ["a", "b", ""]), ("words", ["", *spoken, "sil"]), is_short=is_short)
        members.append((f"{row}.TextGrid", grid.encode(encoding)))
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="speech_recognition")

    assert (report.state, report.accepted) == ("ready", COUNT)
    texts = Dataset.open(tmp_path / "dataset").rows("train").columns["text"]
    assert set(texts) <= {words(row, 1) for row in range(COUNT)}


def test_intervals_of_speakers_are_parts_of_a_clip() -> None:
    grid = as_grid(("ann", ['say ""a"" now', ""]), ("bob", ["", "two words"]), ("phones", ["a", "b"]))
    assert list(read_segments(grid)) == [
        {"start": 0.0, "end": 0.05, "text": 'say "a" now', "speaker": "ann"},
        {"start": 0.05, "end": 0.1, "text": "two words", "speaker": "bob"},
    ]
    assert list(read_segments("File type = 1")) == list(read_segments(grid[:200])) == []


def test_names_of_clips_may_have_points(tmp_path: Path) -> None:
    members = [(f"talk.v1.{row}.wav", clip) for row, clip in enumerate(CLIPS)]
    members += [(f"talk.v1.{row}.{('srt', 'en.srt')[row % 2]}", as_srt(row).encode()) for row in range(COUNT)]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="speech_recognition")

    assert (report.state, report.accepted) == ("ready", 2 * COUNT)
