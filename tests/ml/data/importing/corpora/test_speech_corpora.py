"""Kaldi's data folders and fairseq's manifests."""

import json
from pathlib import Path

import pytest

from ml.data.dataset import Dataset
from tests.support.ml import samples
from tests.support.ml.dataset_files import codes, count, make_zip, sample, upload

COUNT = 60
CLIPS = samples.VALUES["audio"](COUNT)
WORDS = ("alpha", "bravo", "charlie", "delta", "echo")


def lines(rows: list[str]) -> bytes:
    return ("\n".join(rows) + "\n").encode()


def say(row: int) -> str:
    return f"{WORDS[row % 5]} {WORDS[row // 5 % 5]}"


def rows_of(folder: Path) -> dict[str, str]:
    """Return text -> speaker of all rows."""
    dataset = Dataset.open(folder / "dataset")
    splits = [dataset.rows(split).columns for split in ("train", "validation", "test")]
    return {
        text: speaker
        for columns in splits
        for text, speaker in zip(columns["text"], columns.get("speaker", columns["text"]), strict=True)
    }


def kaldi_folder(split: str, rows: range, *, command: str = "{}") -> list[tuple[str, bytes]]:
    names = {row: f"s{row % 12}-u{row}" for row in rows}
    paths = {row: f"/export/corpus/{split}/{row}.wav" for row in rows}
    return [
        (f"data/{split}/wav.scp", lines([f"{names[row]} {command.format(paths[row])}" for row in rows])),
        (f"data/{split}/text", lines([f"{names[row]} {say(row)}" for row in rows])),
        (f"data/{split}/utt2spk", lines([f"{names[row]} s{row % 12}" for row in rows])),
        (f"data/{split}/spk2gender", lines([f"s{number} m" for number in range(12)])),
        *((f"audio/{split}/{row}.wav", CLIPS[row]) for row in rows),
    ]


@pytest.mark.parametrize("command", ["{}", "sox {} -t wav - |", "flac -c -d -s '{}' |"])
@pytest.mark.parametrize("task", [None, "speech_recognition"])
def test_data_folders_of_kaldi_are_read_with_texts_and_speakers(tmp_path: Path, task: str | None, command: str) -> None:
    members = kaldi_folder("train", range(40), command=command) + kaldi_folder("test", range(40, COUNT))
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task=task)

    assert (report.state, report.accepted, report.splits["test"]) == ("ready", COUNT, 20)
    assert rows_of(tmp_path)[say(7)] in {f"s{row % 12}" for row in range(COUNT) if say(row) == say(7)}
    assert (count(report, "file_ignored"), sample(report, "file_ignored")["file"]) == (2, "a.zip/data/test/spk2gender")


def test_segments_of_kaldi_are_parts_of_audio_clips(tmp_path: Path) -> None:
    parts = [(row, part) for row in range(30) for part in range(2)]
    members = [
        ("wav.scp", lines([f"rec{row} wavs/{row}.wav" for row in range(30)])),
        ("segments", lines([f"u{row}-{part} rec{row} 0.0{part * 2} 0.0{part * 2 + 2}" for row, part in parts])),
        ("text", lines([f"u{row}-{part} {say(row)} {WORDS[part]}" for row, part in parts])),
        *((f"wavs/{row}.wav", CLIPS[row]) for row in range(30)),
    ]  # fmt: skip
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="speech_recognition")

    assert (report.state, report.accepted) == ("ready", 60)
    assert set(rows_of(tmp_path)) == {f"{say(row)} {WORDS[part]}" for row, part in parts}


def test_an_utterance_without_its_audio_clip_is_reported_where_its_text_is(tmp_path: Path) -> None:
    members = [member for member in kaldi_folder("train", range(40)) if not member[0].endswith("/7.wav")]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="speech_recognition")

    missing = sample(report, "audio_missing")
    assert (report.state, missing["file"], missing["row"]) == ("rejected", "a.zip/data/train/text", 8)


@pytest.mark.parametrize("suffix", ["wrd", "ltr"])
def test_manifests_of_fairseq_are_read_with_the_texts_beside_them(tmp_path: Path, suffix: str) -> None:
    splits = {"train": range(40), "valid": range(40, COUNT)}
    members = [(f"clips/{row}.wav", clip) for row, clip in enumerate(CLIPS)]
    for split, rows in splits.items():
        texts = [say(row) if suffix == "wrd" else " ".join(say(row).replace(" ", "|")) + " |" for row in rows]
        members += [
            (f"{split}.tsv", lines(["/data/corpus", *(f"clips/{row}.wav\t1600" for row in rows)])),
            (f"{split}.{suffix}", lines(texts)),
        ]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="speech_recognition")

    assert (report.state, report.splits["validation"], report.accepted) == ("ready", 20, COUNT)
    assert set(rows_of(tmp_path)) == {say(row) for row in range(COUNT)}


def test_a_text_too_few_rejects_a_manifest_of_fairseq(tmp_path: Path) -> None:
    members = [(f"{row}.wav", CLIPS[row]) for row in range(20)]
    manifest = lines(["/data", *(f"{row}.wav\t1600" for row in range(20))])
    members += [("train.tsv", manifest), ("train.wrd", lines([say(row) for row in range(19)]))]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="speech_recognition")

    assert report.state == "rejected"
    assert sample(report, "line_counts_differ")["found"] == "19 lines"
    assert "ragged_row" not in codes(report)


@pytest.mark.parametrize("task", [None, "speech_recognition"])
def test_prompts_of_voxforge_are_texts_of_their_speakers(tmp_path: Path, task: str | None) -> None:
    members = []
    for speaker in range(12):
        rows = range(speaker * 5, speaker * 5 + 5)
        folder = f"s{speaker}-20100101-abc"
        members += [(f"{folder}/wav/a{row % 5:04}.wav", CLIPS[row]) for row in rows]
        capitals = [f"{folder}/mfc/a{row % 5:04} {say(row).upper()}" for row in rows]
        members += [(f"{folder}/etc/PROMPTS", lines(capitals)), (f"{folder}/LICENSE", b"GPL")]
        if speaker % 2:
            members.append((f"{folder}/etc/prompts-original", lines([f"a{row % 5:04} {say(row)}" for row in rows])))
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task=task)

    assert (report.state, report.accepted) == ("ready", COUNT)
    speakers = rows_of(tmp_path)
    assert speakers[say(7)] in {f"s{speaker}-20100101-abc" for speaker in (1, 11)}
    assert speakers[say(0).upper()] in {f"s{speaker}-20100101-abc" for speaker in (0, 10)}


def make_row(row: int, **names: str) -> dict[str, object]:
    """Return a row of a list with other names of file, text and speaker."""
    values = {"file": f"{{data_root}}/audio/{row}.wav", "text": say(row), "speaker": f"s{row % 12}"}
    return {names[key]: value for key, value in values.items()}


LISTS = {
    "list.json": json.dumps(
        [{**make_row(row, file="audio", text="sentence", speaker="speaker")} for row in range(COUNT)]
    ),
    "speechbrain.json": json.dumps(
        {f"u{row}": make_row(row, file="wav", text="words", speaker="spk_id") for row in range(COUNT)}
    ),
    "speechbrain.csv": "\n".join(
        ["ID,wav,spk_id,wrd", *(f"{row},$data_root/audio/{row}.wav,s{row % 12},{say(row)}" for row in range(COUNT))]
    ),
    "sovits.list": "\n".join(f"/data/audio/{row}.wav|s{row % 12}|EN|{say(row)}" for row in range(COUNT)),
    "vits.txt": "\n".join(f"DUMMY2/{row}.wav|{row % 12}|{say(row)}" for row in range(COUNT)),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_trainers_are_read_with_their_speakers(tmp_path: Path, name: str) -> None:
    members = [(f"audio/{row}.wav", clip) for row, clip in enumerate(CLIPS)]
    report = upload(tmp_path, {"a.zip": make_zip([*members, (name, LISTS[name].encode())])})

    assert (report.state, report.accepted, report.guess and report.guess.task) == ("ready", COUNT, "speech_recognition")
    assert len(set(rows_of(tmp_path).values())) > 5


def test_the_list_of_deepspeech_has_the_names_of_its_clips(tmp_path: Path) -> None:
    members = [(f"audio/{row}.wav", clip) for row, clip in enumerate(CLIPS)]
    rows = [f"/data/audio/{row}.wav,16044,{say(row)}" for row in range(COUNT)]
    table = "\n".join(["wav_filename,wav_filesize,transcript", *rows]).encode()
    report = upload(tmp_path, {"a.zip": make_zip([*members, ("train.csv", table)])})

    assert (report.state, report.accepted) == ("ready", COUNT)


def test_a_short_list_of_vits_has_its_numbers_of_speakers(tmp_path: Path) -> None:
    members = [(f"audio/{row}.wav", clip) for row, clip in enumerate(CLIPS)]
    parts = {"train.txt": range(50), "val.txt": range(50, COUNT)}
    lists = [
        (name, "\n".join(f"DUMMY2/{row}.wav|{row}|{say(row)} {say(row + 7)}" for row in rows).encode())
        for name, rows in parts.items()
    ]
    upload(tmp_path, {"a.zip": make_zip([*members, *lists])})

    columns = Dataset.open(tmp_path / "dataset").rows("validation").columns
    assert set(columns["speaker"]) == {str(row) for row in range(50, COUNT)}
