"""Zips of recordings with lists in the layouts in which speech is published."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.audio.waveform import Audio
from ml.data.dataset import Dataset
from ml.data.files.audio import encode_wav
from ml.data.importing.importer import import_dataset
from ml.data.report import ImportReport
from ml.tasks import TASKS
from tests.support.ml import samples

ROWS = 24
TEXTS = [f"word {row}" for row in range(ROWS)]
NAMES = [f"take_{row}" for row in range(ROWS)]
SOUNDS = samples.VALUES["audio"](ROWS)


def wavs(folder: str = "", suffix: str = ".wav") -> dict[str, bytes]:
    return {f"{folder}{name}{suffix}": sound for name, sound in zip(NAMES, SOUNDS, strict=True)}


def packed(path: Path, files: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def read(tmp_path: Path, files: dict[str, bytes | str], **asked: Any) -> ImportReport:
    into = tmp_path / "dataset"
    sources = [packed(tmp_path / "speech.zip", files)]
    return import_dataset(sources, into, **{"task": "speech_recognition", "tasks": dict(TASKS), **asked})


def said(tmp_path: Path) -> set[str]:
    data = Dataset.open(tmp_path / "dataset")
    return {text for split in data.summary.splits for text in data.rows(split).columns["text"]}


AUDIOFOLDER = "file_name,transcription\n" + "".join(f"{n}.wav,{t}\n" for n, t in zip(NAMES, TEXTS, strict=True))
NEMO = "".join(
    json.dumps({"audio_filepath": f"/home/me/speech/wavs/{n}.wav", "duration": 0.3, "text": t}) + "\n"
    for n, t in zip(NAMES, TEXTS, strict=True)
)
LJSPEECH = "".join(f'{n}|"raw|{t}\n' for n, t in zip(NAMES, TEXTS, strict=True))
LJSPEECH_UNSPOKEN = "".join(f"{n}|{t}|\n" for n, t in zip(NAMES, TEXTS, strict=True))
LIBRISPEECH = "".join(f"{n} {t}\n" for n, t in zip(NAMES, TEXTS, strict=True))
COMMON_VOICE = "client_id\tpath\tsentence\n" + "".join(f"a\t{n}.wav\t{t}\n" for n, t in zip(NAMES, TEXTS, strict=True))


@pytest.mark.parametrize(
    ("name", "content", "folder"),
    [
        ("data/metadata.csv", AUDIOFOLDER, "data/"),
        ("metadata.jsonl", NEMO.replace("audio_filepath", "file_name"), "speech/wavs/"),
        ("manifest.json", NEMO, "speech/wavs/"),
        ("LJ/metadata.csv", LJSPEECH, "LJ/wavs/"),
        ("LJ/metadata.csv", LJSPEECH_UNSPOKEN, "LJ/wavs/"),
        ("validated.tsv", COMMON_VOICE, "clips/"),
        ("84/121/84-121.trans.txt", LIBRISPEECH, "84/121/"),
    ],
    ids=["audiofolder", "audiofolder-jsonl", "nemo", "ljspeech", "ljspeech-unspoken", "common_voice", "librispeech"],
)
def test_published_layouts_are_read_as_they_are(name: str, content: str, folder: str, tmp_path: Path) -> None:
    report = read(tmp_path, {name: content, **wavs(folder)})

    assert report.state == "ready", report.errors
    assert report.guess is not None
    assert report.guess.format == "recordings"
    assert report.accepted == ROWS
    assert said(tmp_path) == set(TEXTS)
    row = Dataset.open(tmp_path / "dataset").rows("train")[0]
    assert row["audio"].rate_hz == 4_000


def test_the_list_may_come_beside_the_archive_and_say_the_splits(tmp_path: Path) -> None:
    parts = ["train", "validation", "test"]
    lines = [f"{n}.wav,{t},{parts[row % 3]}\n" for row, (n, t) in enumerate(zip(NAMES, TEXTS, strict=True))]
    (tmp_path / "list.csv").write_text("file,text,split\n" + "".join(lines))

    sources = [packed(tmp_path / "speech.zip", dict(wavs())), tmp_path / "list.csv"]
    report = import_dataset(sources, tmp_path / "dataset", task="speech_recognition", tasks=dict(TASKS))

    assert report.state == "ready", report.errors
    assert report.splits == {"train": 8, "validation": 8, "test": 8}


def test_what_does_not_match_is_told_with_file_row_and_what_there_is(tmp_path: Path) -> None:
    report = read(tmp_path, {"metadata.csv": AUDIOFOLDER.replace("take_3.wav", "take-3.wav"), **wavs()})

    assert report.state == "rejected"
    found = {entry.code: entry for entry in report.errors}
    missing = found["recording_missing"]
    assert missing.sample[0]["file"] == "speech.zip/metadata.csv"
    assert (missing.sample[0]["row"], missing.sample[0]["line"]) == (4, 5)
    assert missing.sample[0]["found"] == "take-3.wav"
    assert "take_" in missing.sample[0]["expected"]
    assert missing.hint
    assert found["recording_without_text"].sample[0]["file"] == "speech.zip/take_3.wav"


def test_bad_recordings_are_told_each_with_its_file(tmp_path: Path) -> None:
    files = dict(wavs())
    files["take_1.wav"] = encode_wav(Audio(np.empty(0, dtype=np.float32), 8_000))
    files["take_2.wav"] = b"RIFF nonsense"
    files["take_5.wav"] = encode_wav(Audio(np.zeros(16_000, dtype=np.float32), 16_000))

    report = read(tmp_path, {"metadata.csv": AUDIOFOLDER, **files})

    places = {entry.code: entry.sample[0]["file"] for entry in report.errors}
    assert report.state == "rejected"
    assert places["audio_empty"] == "speech.zip/take_1.wav"
    assert places["audio_unknown_format"] == "speech.zip/take_2.wav"
    assert places["audio_silent"] == places["audio_rates_differ"] == "speech.zip/take_5.wav"


def test_a_recording_listed_twice_is_an_error(tmp_path: Path) -> None:
    report = read(tmp_path, {"metadata.csv": AUDIOFOLDER + "take_0.wav,another text\n", **wavs()})
    assert [entry.code for entry in report.errors if entry.severity == "error"] == ["recording_listed_twice"]


def test_a_list_that_names_no_recordings_says_which_columns_it_looked_for(tmp_path: Path) -> None:
    report = read(tmp_path, {"list.jsonl": '{"utterance": "one"}\n', **wavs()})
    told = next(entry for entry in report.errors if entry.code == "no_columns")
    assert told.sample[0]["found"] == "utterance"
    assert "file_name" in told.sample[0]["expected"]


def test_recordings_alone_are_for_pretraining(tmp_path: Path) -> None:
    report = read(tmp_path, dict(wavs("speech/")), task=None)

    assert report.state == "ready", report.errors
    assert report.summary is not None
    assert report.summary.columns == {"audio": "audio"}
    assert report.summary.facts["audio"]["rate_hz"] == 4_000


def test_speakers_are_kept_beside(tmp_path: Path) -> None:
    report = read(tmp_path, {"list.tsv": COMMON_VOICE.replace("client_id", "speaker"), **wavs()})
    assert report.summary is not None
    assert report.summary.columns == {"audio": "audio", "text": "text", "speaker": "text"}


@pytest.mark.parametrize(
    ("encoding", "word"),
    [("gb18030", "一二三四五六七八九十"), ("big5", "今天天氣很好我們去"), ("cp1252", "déjà vu à Zürich")],
)
def test_lists_in_other_encodings_are_read_and_told(encoding: str, word: str, tmp_path: Path) -> None:
    lines = "".join(f"{name}.wav,{word[: 2 + row % 4]}\n" for row, name in enumerate(NAMES))
    report = read(tmp_path, {"metadata.csv": ("file_name,text\n" + lines).encode(encoding), **wavs()})
    assert report.state == "ready", report.errors
    told = next(entry for entry in report.errors if entry.code == "encoding_guessed")
    assert told.sample[0] == {"file": "speech.zip/metadata.csv", "line": 2, "found": encoding, "expected": "UTF-8"}
    assert said(tmp_path) == {word[:length].strip() for length in range(2, 6)}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_tables_bring_recordings_in_their_cells(suffix: str, tmp_path: Path) -> None:
    import base64

    path = tmp_path / f"speech.{suffix}"
    encoded = [base64.b64encode(sound).decode() for sound in SOUNDS]
    if suffix == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        cells = [{"bytes": sound, "path": None} for sound in SOUNDS]
        pq.write_table(pa.table({"audio": cells, "text": TEXTS}), path)
    elif suffix == "csv":
        path.write_text("audio,text\n" + "".join(f"{e},{t}\n" for e, t in zip(encoded, TEXTS, strict=True)))
    else:
        rows = [{"audio": e, "text": t} for e, t in zip(encoded, TEXTS, strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    report = import_dataset([path], tmp_path / "dataset", task="speech_recognition", tasks=dict(TASKS))

    assert report.state == "ready", report.errors
    assert said(tmp_path) == set(TEXTS)


@pytest.mark.parametrize("name", ["manifest.jsonl", "metadata.csv"])
def test_a_line_of_a_list_ends_at_a_newline_alone(name: str, tmp_path: Path) -> None:
    said = [f"{text} \u2028 and\x85 more" for text in TEXTS]
    rows = [json.dumps({"file_name": n, "text": t}, ensure_ascii=False) for n, t in zip(NAMES, said, strict=True)]
    if name == "metadata.csv":
        rows = ["file_name,text", *(f"{n},{t}" for n, t in zip(NAMES, said, strict=True))]
    report = read(tmp_path, {**wavs(), name: "\n".join(rows)})
    assert (report.state, report.rows) == ("ready", ROWS)


def test_a_whole_corpus_has_lists_for_each_split_and_others_beside(tmp_path: Path) -> None:
    header, *lines = COMMON_VOICE.splitlines(keepends=True)
    lists: dict[str, bytes | str] = {
        "de/train.tsv": header + "".join(lines[:16]),
        "de/dev.tsv": header + "".join(lines[16:20]),
        "de/test.tsv": header + "".join(lines[20:]),
        "de/validated.tsv": COMMON_VOICE,
        "de/clip_durations.tsv": "clip\tduration[ms]\n" + "".join(f"{name}.wav\t500\n" for name in NAMES),
        "de/reported.tsv": "sentence_id\tsentence\tlocale\treason\n7f\tAn odd one.\tde\tother\n",
    }
    report = read(tmp_path, {**lists, **wavs("de/clips/")})

    assert (report.state, report.splits) == ("ready", {"train": 16, "validation": 4, "test": 4})
    assert said(tmp_path) == set(TEXTS)
    (ignored,) = [entry for entry in report.errors if entry.code == "file_ignored"]
    assert [each["file"] for each in ignored.sample] == ["speech.zip/de/reported.tsv"]
