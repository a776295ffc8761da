"""Zips of audio files with manifests in the layouts in which speech is published."""

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
from tests.support.ml.dataset_files import make_zip, upload

ROWS = 24
TEXTS = [f"word {row}" for row in range(ROWS)]
NAMES = [f"take_{row}" for row in range(ROWS)]
CLIPS = samples.VALUES["audio"](ROWS)


def make_wavs(folder: str = "", suffix: str = ".wav") -> dict[str, bytes]:
    return {f"{folder}{name}{suffix}": clip for name, clip in zip(NAMES, CLIPS, strict=True)}


def write_zip(path: Path, files: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def read(tmp_path: Path, files: dict[str, bytes | str], **options: Any) -> ImportReport:
    into = tmp_path / "dataset"
    sources = [write_zip(tmp_path / "speech.zip", files)]
    return import_dataset(sources, into, **{"task": "speech_recognition", "tasks": dict(TASKS), **options})


def imported_texts(tmp_path: Path) -> set[str]:
    data = Dataset.open(tmp_path / "dataset")
    return {text for split in data.summary.splits for text in data.rows(split).columns["text"]}


AUDIOFOLDER = "file_name,transcription\n" + "".join(f"{n}.wav,{t}\n" for n, t in zip(NAMES, TEXTS, strict=True))
NEMO = "".join(
    json.dumps({"audio_filepath": f"/home/me/speech/wavs/{n}.wav", "duration": 0.3, "text": t}) + "\n"
    for n, t in zip(NAMES, TEXTS, strict=True)
)
LJSPEECH = "".join(f'{n}|"raw|{t}\n' for n, t in zip(NAMES, TEXTS, strict=True))
LJSPEECH_NOT_NORMALIZED = "".join(f"{n}|{t}|\n" for n, t in zip(NAMES, TEXTS, strict=True))
LIBRISPEECH = "".join(f"{n} {t}\n" for n, t in zip(NAMES, TEXTS, strict=True))
COMMON_VOICE = "client_id\tpath\tsentence\n" + "".join(f"a\t{n}.wav\t{t}\n" for n, t in zip(NAMES, TEXTS, strict=True))


@pytest.mark.parametrize(
    ("name", "content", "folder"),
    [
        ("data/metadata.csv", AUDIOFOLDER, "data/"),
        ("metadata.jsonl", NEMO.replace("audio_filepath", "file_name"), "speech/wavs/"),
        ("manifest.json", NEMO, "speech/wavs/"),
        ("LJ/metadata.csv", LJSPEECH, "LJ/wavs/"),
        ("LJ/metadata.csv", LJSPEECH_NOT_NORMALIZED, "LJ/wavs/"),
        ("validated.tsv", COMMON_VOICE, "clips/"),
        ("84/121/84-121.trans.txt", LIBRISPEECH, "84/121/"),
    ],
    ids=[
        "audiofolder",
        "audiofolder-jsonl",
        "nemo",
        "ljspeech",
        "ljspeech-printed",
        "common_voice",
        "librispeech",
    ],
)
def test_published_layouts_are_read_as_they_are(name: str, content: str, folder: str, tmp_path: Path) -> None:
    report = read(tmp_path, {name: content, **make_wavs(folder)})

    assert report.state == "ready", report.errors
    assert report.guess is not None
    assert report.guess.format == "recordings"
    assert report.accepted == ROWS
    assert imported_texts(tmp_path) == set(TEXTS)
    row = Dataset.open(tmp_path / "dataset").rows("train")[0]
    assert row["audio"].rate_hz == 4_000


def test_a_manifest_may_lie_beside_the_archive_and_name_the_splits(tmp_path: Path) -> None:
    parts = ["train", "validation", "test"]
    lines = [f"{n}.wav,{t},{parts[row % 3]}\n" for row, (n, t) in enumerate(zip(NAMES, TEXTS, strict=True))]
    (tmp_path / "list.csv").write_text("file,text,split\n" + "".join(lines))

    sources = [write_zip(tmp_path / "speech.zip", dict(make_wavs())), tmp_path / "list.csv"]
    report = import_dataset(sources, tmp_path / "dataset", task="speech_recognition", tasks=dict(TASKS))

    assert report.state == "ready", report.errors
    assert report.splits == {"train": 8, "validation": 8, "test": 8}


def test_an_entry_without_audio_file_is_reported_with_its_row_and_a_candidate(tmp_path: Path) -> None:
    report = read(tmp_path, {"metadata.csv": AUDIOFOLDER.replace("take_3.wav", "take-3.wav"), **make_wavs()})

    assert report.state == "rejected"
    issues = {entry.code: entry for entry in report.errors}
    missing = issues["audio_missing"]
    assert missing.sample[0]["file"] == "speech.zip/metadata.csv"
    assert (missing.sample[0]["row"], missing.sample[0]["line"]) == (4, 5)
    assert missing.sample[0]["found"] == "take-3.wav"
    assert "take_" in missing.sample[0]["expected"]
    assert missing.hint
    assert issues["audio_without_text"].sample[0]["file"] == "speech.zip/take_3.wav"


def test_invalid_audio_files_are_reported_with_their_names(tmp_path: Path) -> None:
    files = dict(make_wavs())
    files["take_1.wav"] = encode_wav(Audio(np.empty(0, dtype=np.float32), 8_000))
    files["take_2.wav"] = b"RIFF nonsense"
    files["take_5.wav"] = encode_wav(Audio(np.zeros(16_000, dtype=np.float32), 16_000))

    report = read(tmp_path, {"metadata.csv": AUDIOFOLDER, **files})

    files_by_code = {entry.code: entry.sample[0]["file"] for entry in report.errors}
    assert report.state == "rejected"
    assert files_by_code["audio_empty"] == "speech.zip/take_1.wav"
    assert files_by_code["audio_unknown_format"] == "speech.zip/take_2.wav"
    assert files_by_code["audio_silent"] == files_by_code["audio_rates_differ"] == "speech.zip/take_5.wav"


def test_two_entries_of_one_audio_file_are_an_error(tmp_path: Path) -> None:
    report = read(tmp_path, {"metadata.csv": AUDIOFOLDER + "take_0.wav,another text\n", **make_wavs()})
    assert [entry.code for entry in report.errors if entry.severity == "error"] == ["audio_listed_twice"]


def test_a_manifest_without_file_names_is_reported_with_the_usual_column_names(tmp_path: Path) -> None:
    report = read(tmp_path, {"list.jsonl": '{"utterance": "one"}\n', **make_wavs()})
    issue = next(entry for entry in report.errors if entry.code == "no_columns")
    assert issue.sample[0]["found"] == "utterance"
    assert "file_name" in issue.sample[0]["expected"]


def test_audio_files_alone_are_for_pretraining(tmp_path: Path) -> None:
    report = read(tmp_path, dict(make_wavs("speech/")), task=None)

    assert report.state == "ready", report.errors
    assert report.summary is not None
    assert report.summary.columns == {"audio": "audio"}
    assert report.summary.facts["audio"]["rate_hz"] == 4_000


def test_speakers_are_imported_beside_the_texts(tmp_path: Path) -> None:
    report = read(tmp_path, {"list.tsv": COMMON_VOICE.replace("client_id", "speaker"), **make_wavs()})
    assert report.summary is not None
    assert report.summary.columns == {"audio": "audio", "text": "text", "speaker": "text"}


@pytest.mark.parametrize(
    ("encoding", "word"),
    [("gb18030", "一二三四五六七八九十"), ("big5", "今天天氣很好我們去"), ("cp1252", "déjà vu à Zürich")],
)
def test_manifests_in_other_encodings_are_read_and_reported(encoding: str, word: str, tmp_path: Path) -> None:
    lines = "".join(f"{name}.wav,{word[: 2 + row % 4]}\n" for row, name in enumerate(NAMES))
    report = read(tmp_path, {"metadata.csv": ("file_name,text\n" + lines).encode(encoding), **make_wavs()})
    assert report.state == "ready", report.errors
    issue = next(entry for entry in report.errors if entry.code == "encoding_guessed")
    assert issue.sample[0] == {"file": "speech.zip/metadata.csv", "line": 2, "found": encoding, "expected": "UTF-8"}
    assert imported_texts(tmp_path) == {word[:length].strip() for length in range(2, 6)}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_tables_may_hold_audio_files_in_their_cells(suffix: str, tmp_path: Path) -> None:
    import base64

    path = tmp_path / f"speech.{suffix}"
    encoded = [base64.b64encode(clip).decode() for clip in CLIPS]
    if suffix == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        cells = [{"bytes": clip, "path": None} for clip in CLIPS]
        pq.write_table(pa.table({"audio": cells, "text": TEXTS}), path)
    elif suffix == "csv":
        path.write_text("audio,text\n" + "".join(f"{e},{t}\n" for e, t in zip(encoded, TEXTS, strict=True)))
    else:
        rows = [{"audio": e, "text": t} for e, t in zip(encoded, TEXTS, strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    report = import_dataset([path], tmp_path / "dataset", task="speech_recognition", tasks=dict(TASKS))

    assert report.state == "ready", report.errors
    assert imported_texts(tmp_path) == set(TEXTS)


@pytest.mark.parametrize("name", ["manifest.jsonl", "metadata.csv"])
def test_a_manifest_line_ends_only_at_a_newline(name: str, tmp_path: Path) -> None:
    texts = [f"{text} \u2028 and\x85 more" for text in TEXTS]
    rows = [json.dumps({"file_name": n, "text": t}, ensure_ascii=False) for n, t in zip(NAMES, texts, strict=True)]
    if name == "metadata.csv":
        rows = ["file_name,text", *(f"{n},{t}" for n, t in zip(NAMES, texts, strict=True))]
    report = read(tmp_path, {**make_wavs(), name: "\n".join(rows)})
    assert (report.state, report.rows) == ("ready", ROWS)


def test_a_corpus_may_have_a_manifest_per_split_and_unrelated_tables(tmp_path: Path) -> None:
    header, *lines = COMMON_VOICE.splitlines(keepends=True)
    lists: dict[str, bytes | str] = {
        "de/train.tsv": header + "".join(lines[:16]),
        "de/dev.tsv": header + "".join(lines[16:20]),
        "de/test.tsv": header + "".join(lines[20:]),
        "de/validated.tsv": COMMON_VOICE,
        "de/clip_durations.tsv": "clip\tduration[ms]\n" + "".join(f"{name}.wav\t500\n" for name in NAMES),
        "de/reported.tsv": "sentence_id\tsentence\tlocale\treason\n7f\tAn odd one.\tde\tother\n",
    }
    report = read(tmp_path, {**lists, **make_wavs("de/clips/")})

    assert (report.state, report.splits) == ("ready", {"train": 16, "validation": 4, "test": 4})
    assert imported_texts(tmp_path) == set(TEXTS)
    (left_out,) = [entry for entry in report.errors if entry.code == "list_not_learned"]
    assert [entry["file"] for entry in left_out.sample] == ["speech.zip/de/reported.tsv"]


LONG_CLIP = Audio(np.sin(np.arange(48_000, dtype=np.float32) ** 2 / 90_000) * np.float32(0.5), 4_000)
SECONDS = 0.5


def make_lines(form: str, file: str, offsets: list[float]) -> str:
    cells = [(file, at, SECONDS, text) for at, text in zip(offsets, TEXTS, strict=False)]
    if form == "nemo":
        keys = ("audio_filepath", "offset", "duration", "text")
        return "".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in cells)
    rows = [(name, str(at), str(at + seconds), text) for name, at, seconds, text in cells]
    return "file_name,start,end,text\n" + "".join(",".join(row) + "\n" for row in rows)


@pytest.mark.parametrize(("form", "manifest"), [("nemo", "manifest.json"), ("columns", "metadata.csv")])
def test_parts_of_one_file_are_clips_of_their_own(form: str, manifest: str, tmp_path: Path) -> None:
    offsets = [SECONDS * row for row in range(ROWS)]
    files = {"long.wav": encode_wav(LONG_CLIP), manifest: make_lines(form, "long.wav", offsets)}

    report = read(tmp_path, files, splits={"train": 1.0})

    assert (report.state, report.accepted) == ("ready", ROWS)
    rows = Dataset.open(tmp_path / "dataset").rows("train")
    size = round(SECONDS * LONG_CLIP.rate_hz)
    for row in rows:
        start = TEXTS.index(row["text"]) * size
        assert np.allclose(row["audio"].samples, LONG_CLIP.samples[start : start + size], atol=1e-3)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"offset": 3.0, "duration": 1.2}, 1.2),
        ({"offset": "3.0", "duration": "1.2"}, 1.2),
        ({"duration": 1.2}, 1.2),
        ({"offset": 3.0}, 9.0),
        ({"offset": 3.0, "duration": 0}, 9.0),
        ({"offset": 0, "duration": 11.98}, 12.0),
        ({"offset": None, "duration": None}, 12.0),
        ({"start": 10.0, "end": 12.4}, 2.0),
        ({"start": "10:20:01", "end": "10:20:09"}, 12.0),
    ],
)
def test_a_part_has_the_length_that_its_line_names(fields: dict[str, Any], seconds: float, tmp_path: Path) -> None:
    clips = {f"{name}.wav": encode_wav(Audio(np.roll(LONG_CLIP.samples, row), 4_000)) for row, name in enumerate(NAMES)}
    lines = [{"audio_filepath": f"{n}.wav", "text": t, **fields} for n, t in zip(NAMES, TEXTS, strict=True)]

    report = read(tmp_path, {**clips, "manifest.json": "".join(json.dumps(line) + "\n" for line in lines)})

    assert report.state == "ready", report.errors
    assert Dataset.open(tmp_path / "dataset").rows("train")[0]["audio"].seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"offset": 12.5, "duration": 1}, "segment_outside_file"),
        ({"offset": 3, "duration": 1200}, "segment_outside_file"),
        ({"offset": -1, "duration": 1}, "segment_invalid"),
        ({"offset": "later", "duration": 1}, "segment_invalid"),
        ({"offset": float("nan"), "duration": 1}, "segment_invalid"),
        ({"start": 5, "end": 4}, "segment_invalid"),
    ],
)
def test_a_part_that_the_file_does_not_have_is_an_error(fields: dict[str, Any], code: str, tmp_path: Path) -> None:
    line = {"audio_filepath": "long.wav", "text": "an example", **fields}

    report = read(tmp_path, {"long.wav": encode_wav(LONG_CLIP), "manifest.json": json.dumps(line) + "\n"})

    assert report.state == "rejected"
    issue = next(entry for entry in report.errors if entry.code == code)
    assert (issue.sample[0]["file"], issue.sample[0]["line"]) == ("speech.zip/manifest.json", 1)


def test_one_part_with_two_texts_is_an_error(tmp_path: Path) -> None:
    lines = make_lines("nemo", "long.wav", [1.0, 2.0, 2.0])
    report = read(tmp_path, {"long.wav": encode_wav(LONG_CLIP), "manifest.json": lines})
    assert next(entry for entry in report.errors if entry.code == "audio_listed_twice").count == 1


SPEAKERS = ["ann", "bob", "p225"]
SENTENCES = [f"the word, said again, is {row}" for row in range(ROWS)]
PIPER = "".join(f"{n}|{SPEAKERS[row % 3]}|{SENTENCES[row]}\n" for row, n in enumerate(NAMES))
VITS = "".join(f"DUMMY2/x/{n}.wav|{row % 3}|{SENTENCES[row]}\n" for row, n in enumerate(NAMES))
STYLE_TTS = "".join(f"{n}.wav|{SENTENCES[row]}|{row % 3}\n" for row, n in enumerate(NAMES))
BERT_VITS = "".join(f"raw/{n}.wav|{SPEAKERS[row % 3]}|EN|{SENTENCES[row]}\n" for row, n in enumerate(NAMES))
NAMED = "file_name|speaker_id|text\n" + "".join(f"{n}.wav|{row % 3}|{SENTENCES[row]}\n" for row, n in enumerate(NAMES))


@pytest.mark.parametrize("content", [PIPER, VITS, STYLE_TTS, BERT_VITS, NAMED])
def test_speakers_are_read_in_every_layout_of_lists(content: str, tmp_path: Path) -> None:
    report = read(tmp_path, {"metadata.csv": content, **make_wavs("wavs/")})

    assert report.state == "ready", report.errors
    assert imported_texts(tmp_path) == set(SENTENCES)
    data = Dataset.open(tmp_path / "dataset")
    speakers = {speaker for split in data.summary.splits for speaker in data.rows(split).columns["speaker"]}
    assert speakers in (set(SPEAKERS), {"0", "1", "2"})


def test_a_text_beside_each_clip_is_its_transcript(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"SPEAKERS.txt": "id sex\n84 F\n", "README_librispeech.txt": "notes"}
    for row, clip in enumerate(CLIPS):
        stem = f"LibriTTS/dev-clean/{84 + row % 2}/121/{84 + row % 2}_121_{row:06}_000000"
        files |= {f"{stem}.wav": clip, f"{stem}.normalized.txt": TEXTS[row], f"{stem}.original.txt": "1 " + TEXTS[row]}

    report = read(tmp_path, files, task=None)

    assert report.state == "ready", report.errors
    assert report.summary is not None
    assert report.summary.columns == {"audio": "audio", "text": "text", "speaker": "text"}
    assert imported_texts(tmp_path) == set(TEXTS)
    ignored = next(entry for entry in report.errors if entry.code == "file_ignored")
    assert ignored.count >= ROWS


def test_vctk_is_read_with_its_speakers(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"speaker-info.txt": "ID  AGE  GENDER  ACCENTS\np225  23  F    English\n"}
    for row, clip in enumerate(CLIPS):
        name = f"p{225 + row % 2}/p{225 + row % 2}_{row:03}"
        files |= {f"VCTK/wav48/{name}_mic1.wav": clip, f"VCTK/txt/{name}.txt": TEXTS[row] + "\n"}

    report = read(tmp_path, files, task="speech_synthesis")

    assert report.state == "ready", report.errors
    assert imported_texts(tmp_path) == set(TEXTS)
    assert set(Dataset.open(tmp_path / "dataset").rows("train").columns["speaker"]) == {"p225", "p226"}


def test_supervisions_of_lhotse_are_parts_of_their_audio_clips(tmp_path: Path) -> None:
    lines = [
        {"id": f"s{row}", "recording_id": "long", "start": SECONDS * row, "duration": SECONDS, "text": TEXTS[row]}
        for row in range(ROWS)
    ]
    recording = {"id": "long", "sources": [{"type": "file", "channels": [0], "source": "long.wav"}], "duration": 12.0}
    files: dict[str, bytes | str] = {
        "long.wav": encode_wav(LONG_CLIP),
        "supervisions.jsonl": "".join(json.dumps({**line, "speaker": "ann"}) + "\n" for line in lines),
        "recordings.jsonl": json.dumps(recording) + "\n",
    }

    report = read(tmp_path, files)

    assert report.state == "ready", report.errors
    assert report.accepted == ROWS
    assert imported_texts(tmp_path) == set(TEXTS)


def test_an_audio_clip_of_lhotse_that_is_absent_is_reported(tmp_path: Path) -> None:
    line = {"id": "s1", "recording_id": "absent", "start": 0, "duration": 1, "text": "yes"}
    report = read(tmp_path, {**make_wavs(), "supervisions.jsonl": json.dumps(line) + "\n"})
    issue = next(entry for entry in report.errors if entry.code == "audio_missing")
    assert issue.sample[0]["found"] == "absent"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("validated.tsv", "a\t{}\t{}\n"),
        ("metadata.csv", "{}|{}\n"),
        ("metadata.csv", "{}|skipped|{}\n"),
        ("book.trans.txt", "{} {}\n"),
        ("list.csv", "{},{}\n"),
    ],
    ids=["Common Voice", "LJSpeech", "LJSpeech with both texts", "LibriSpeech", "comma without quoting"],
)
@pytest.mark.parametrize(
    "first", ["YES, HE SAID, AND LEFT", '"Yes," he said.', '"Hello', 'and left"', '"Yes."', 'the 5" nail']
)
def test_quotes_and_commas_of_transcripts_are_characters(tmp_path: Path, name: str, line: str, first: str) -> None:
    texts = [first, *TEXTS[1:20], f"{first} again", "one, two", "and three, four", "five"]
    header = "client_id\tpath\tsentence\n" if name == "validated.tsv" else ""
    rows = "".join(line.format(clip, text) for clip, text in zip(NAMES, texts, strict=True))
    report = read(tmp_path, {**make_wavs("clips/"), name: header + rows})
    assert report.state == "ready", report.errors
    assert imported_texts(tmp_path) == set(texts)


def test_a_transcript_with_one_comma_in_each_line_is_divided_at_the_blank(tmp_path: Path) -> None:
    texts = [f"WELL, {text}" for text in TEXTS]
    lines = "".join(f"{name} {text}\n" for name, text in zip(NAMES, texts, strict=True))
    assert read(tmp_path, {**make_wavs(), "a.trans.txt": lines}).state == "ready"
    assert imported_texts(tmp_path) == set(texts)


def test_commas_behind_the_last_column_belong_to_the_text_and_are_reported(tmp_path: Path) -> None:
    texts = [f"well, {text}" if row % 2 else text for row, text in enumerate(TEXTS)]
    lines = "".join(f"{name},{text}\n" for name, text in zip(NAMES, texts, strict=True))
    report = read(tmp_path, {**make_wavs(), "metadata.csv": "file_name,text\n" + lines})
    assert report.state == "ready", report.errors
    assert imported_texts(tmp_path) == set(texts)
    (entry,) = [entry for entry in report.errors if entry.code == "delimiter_in_text"]
    assert entry.count == ROWS // 2


def test_sample_numbers_before_the_words_of_timit_are_left_out_and_reported(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {}
    for row, clip in enumerate(CLIPS):
        stem = f"TRAIN/DR1/FCJF{row % 3}/SX{row}"
        files |= {f"{stem}.wav": clip, f"{stem}.txt": f"0 800 {TEXTS[row]}\n"}

    report = read(tmp_path, files)

    assert report.state == "ready", report.errors
    assert imported_texts(tmp_path) == set(TEXTS)
    assert next(entry for entry in report.errors if entry.code == "sample_numbers_left_out").count == ROWS


def test_a_list_of_durations_beside_transcripts_is_no_list_of_texts(tmp_path):
    durations = "".join(f"{name}.wav\t{300 + row}\n" for row, name in enumerate(NAMES))
    report = read(tmp_path, {**make_wavs("clips/"), "validated.tsv": COMMON_VOICE, "times.txt": durations})

    assert (report.state, report.accepted, imported_texts(tmp_path)) == ("ready", ROWS, set(TEXTS))
    assert "speech.zip/times.txt" in report.reading


def test_clips_without_a_speaker_are_read_beside_those_of_speakers(tmp_path):
    lines = NEMO.splitlines(keepends=True)
    named = "".join(json.dumps({**json.loads(line), "speaker": "a"}) + "\n" for line in lines[:16])
    files = {**make_wavs("wavs/"), "train_manifest.json": named, "test_manifest.json": "".join(lines[16:])}
    report = read(tmp_path, files)

    assert (report.state, report.accepted, report.splits["test"]) == ("ready", ROWS, 8)
    assert report.guess is not None
    assert report.guess.columns == {"text": "text"}
    missing = [entry.sample[0]["found"] for entry in report.errors if entry.code == "fields_not_read"]
    assert missing == ["not read: speaker, which 8 of 24 clips lack"]


def test_label_tracks_of_audacity_name_parts_of_clips(tmp_path):
    clips = samples.VALUES["audio"](24)
    members = [(f"{row}.wav", clip) for row, clip in enumerate(clips)]
    members += [
        (f"{row}.txt", f"0.000000\t0.050000\tword {row}\n0.050000\t0.100000\tend {row}\n".encode()) for row in range(24)
    ]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="speech_recognition")
    texts = [
        text
        for split in ("train", "validation", "test")
        for text in Dataset.open(tmp_path / "dataset").rows(split).columns["text"]
    ]

    assert (report.state, report.accepted) == ("ready", 48)
    assert set(texts) == {f"{word} {row}" for word in ("word", "end") for row in range(24)}


def test_lists_of_fleurs_and_fairseq_for_speech_to_text_are_read(tmp_path):
    clips = samples.VALUES["audio"](24)
    members = [(f"{row}.wav", clip) for row, clip in enumerate(clips)]
    fleurs = "".join(
        f"{row}\t{row}.wav\tWord {chr(97 + row)}.\tword {chr(97 + row)}\tw o r d | {chr(97 + row)}\t36000\tMALE\n"
        for row in range(24)
    )
    fairseq = "id\taudio\tn_frames\ttgt_text\tspeaker\n" + "".join(
        f"u{row}\t{row}.wav\t1600\tword {chr(97 + row)}\ts{row % 12}\n" for row in range(24)
    )
    for name, table in (("train.tsv", fleurs), ("train_st.tsv", fairseq)):
        archive = make_zip([*members, (name, table.encode())])
        report = upload(tmp_path / name, {"a.zip": archive}, task="speech_recognition")
        texts = Dataset.open(tmp_path / name / "dataset").rows("train").columns["text"]

        assert report.state == "ready"
        assert set(texts) <= {f"word {chr(97 + row)}" for row in range(24)}
