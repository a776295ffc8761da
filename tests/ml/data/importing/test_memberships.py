"""Splits that names say, rows that belong together, and lists that are not learned."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.audio.waveform import Audio
from ml.data.dataset import SPLITS, Dataset
from ml.data.files.audio import encode_wav
from tests.support.ml import samples
from tests.support.ml.dataset_files import (
    codes,
    count,
    encode_image,
    make_images,
    make_parquet,
    make_zip,
    sample,
    upload,
)

COUNTS = {"train": 40, "validation": 12, "test": 14}
NAMES = {"train": "train", "validation": "dev", "test": "test"}
TEXTS = {split: [f"{split} sentence {row}" for row in range(rows)] for split, rows in COUNTS.items()}
LABELS = ("no", "yes")


def as_csv(split: str, *, columns: str = "text,label") -> bytes:
    has_label = "label" in columns
    rows = [text + (f",{LABELS[row % 2]}" if has_label else "") for row, text in enumerate(TEXTS[split])]
    return "\n".join([columns, *rows, ""]).encode()


def as_jsonl(split: str) -> bytes:
    rows = enumerate(TEXTS[split])
    return b"".join(json.dumps({"text": text, "label": row % 2}).encode() + b"\n" for row, text in rows)


def as_parquet(split: str) -> bytes:
    return make_parquet({"text": TEXTS[split], "label": [row % 2 for row in range(COUNTS[split])]})


def as_chats(split: str) -> bytes:
    chats = [
        [{"role": "user", "content": text}, {"role": "assistant", "content": f"to {text}"}] for text in TEXTS[split]
    ]
    return b"".join(json.dumps({"messages": chat}).encode() + b"\n" for chat in chats)


def as_tmx(split: str) -> bytes:
    units = [
        f'<tu><tuv xml:lang="en"><seg>{text}</seg></tuv><tuv xml:lang="de"><seg>deutsch {text}</seg></tuv></tu>'
        for text in TEXTS[split]
    ]
    return f'<tmx version="1.4"><header srclang="en"/><body>{"".join(units)}</body></tmx>'.encode()


def has_text_of_its_split(folder: Path, column: str = "text") -> bool:
    dataset = Dataset.open(folder / "dataset")
    return all(f"{split} sentence" in str(value) for split in SPLITS for value in dataset.rows(split).columns[column])


LAYOUTS: dict[str, Any] = {
    "files": lambda make, suffix: {f"{NAMES[split]}{suffix}": make(split) for split in SPLITS},
    "files in a zip": lambda make, suffix: {
        "data.zip": make_zip([(f"data/{NAMES[split]}{suffix}", make(split)) for split in SPLITS])
    },
    "archives named after splits": lambda make, suffix: {
        f"{NAMES[split]}.zip": make_zip([(f"part{suffix}", make(split))]) for split in SPLITS
    },
    "folders": lambda make, suffix: {
        "data.zip": make_zip([(f"data/{NAMES[split]}/part-0{suffix}", make(split)) for split in SPLITS])
    },
    "deep folders with years": lambda make, suffix: {
        "data.zip": make_zip([(f"release/v2/{NAMES[split]}2017/en/a{suffix}", make(split)) for split in SPLITS])
    },
    "shards in a dataset of Hugging Face": lambda make, suffix: {
        "data.zip": make_zip(
            [
                ("corpus/README.md", b"# Corpus"),
                ("corpus/dataset_infos.json", b"{}"),
                *((f"corpus/data/{NAMES[split]}-00000-of-00001{suffix}", make(split)) for split in SPLITS),
            ]
        )
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("make", "suffix"),
    [(as_csv, ".csv"), (as_jsonl, ".jsonl"), (as_parquet, ".parquet"), (as_chats, ".jsonl"), (as_tmx, ".tmx")],
    ids=["csv", "jsonl", "parquet", "conversations", "tmx"],
)
def test_splits_of_tables_hold_in_every_container(tmp_path: Path, layout: str, make: Any, suffix: str) -> None:
    report = upload(tmp_path, LAYOUTS[layout](make, suffix))
    assert report.state == "ready", report.errors
    assert report.splits == COUNTS
    assert has_text_of_its_split(tmp_path, "prompt" if make is as_chats else "text")


@pytest.mark.parametrize("task", [None, "text_generation"])
@pytest.mark.parametrize("name", ["{}/a.txt", "wiki.{}.txt", "corpus/{}2020/part/b.txt"])
def test_long_texts_of_splits_hold_in_an_archive(tmp_path: Path, task: str | None, name: str) -> None:
    members = [(name.format(NAMES[split]), (". ".join(TEXTS[split]) + "\n").encode() * 20) for split in SPLITS]
    report = upload(tmp_path, {"corpus.zip": make_zip(members)}, task=task)
    assert report.state == "ready", report.errors
    assert has_text_of_its_split(tmp_path)
    assert min(report.splits.values()) > 10


@pytest.mark.parametrize("make", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("name", ["split", "subset", "Partition", "set"])
def test_a_column_of_splits_holds_and_a_request_precedes_it(tmp_path: Path, make: str, name: str) -> None:
    rows = [(text, row % 2, NAMES[split]) for split in SPLITS for row, text in enumerate(TEXTS[split])]
    data = {
        "csv": "\n".join([f"text,label,{name}", *(",".join(map(str, row)) for row in rows), ""]).encode(),
        "jsonl": b"".join(
            json.dumps(dict(zip(("text", "label", name), row, strict=True))).encode() + b"\n" for row in rows
        ),
        "parquet": make_parquet(dict(zip(("text", "label", name), map(list, zip(*rows, strict=True)), strict=True))),
    }[make]
    report = upload(tmp_path / "named", {f"all.{make}": data})
    assert (report.state, report.splits) == ("ready", COUNTS)
    assert has_text_of_its_split(tmp_path / "named")
    assert f"split = {name}" in report.reading or (name == "split" and "split" in report.reading)
    requested = upload(tmp_path / "requested", {f"all.{make}": data}, splits={"train": 0.5, "test": 0.5})
    assert (requested.splits["train"], requested.splits["validation"]) == (34, 0)


def test_a_column_that_is_called_split_and_holds_something_else_is_no_split(tmp_path: Path) -> None:
    rows = [f"a sentence {row},{row % 2},{('left', 'right')[row % 2]}" for row in range(40)]
    report = upload(tmp_path, {"a.csv": "\n".join(["text,label,split", *rows]).encode()})
    assert (report.state, sample(report, "fields_not_read")["column"]) == ("ready", "split")


def test_an_unknown_split_in_a_row_is_an_error(tmp_path: Path) -> None:
    rows = [f"a sentence {row},{row % 2},{'train' if row < 39 else 'holdback'}" for row in range(40)]
    report = upload(tmp_path, {"a.csv": "\n".join(["text,label,split", *rows]).encode()})
    assert (report.state, sample(report, "split_unknown")["row"]) == ("rejected", 40)


@pytest.mark.parametrize("name", ["patient_id", "speaker", "user_id", "group", "author"])
@pytest.mark.parametrize("make", ["csv", "jsonl", "parquet"])
def test_rows_about_one_subject_stay_in_one_split(tmp_path: Path, make: str, name: str) -> None:
    rows = [(f"sentence {row}", LABELS[row % 2], f"s{row % 30}") for row in range(150)]
    table = dict(zip(("text", "label", name), map(list, zip(*rows, strict=True)), strict=True))
    data = {
        "csv": "\n".join([f"text,label,{name}", *(",".join(row) for row in rows), ""]).encode(),
        "jsonl": b"".join(
            json.dumps(dict(zip(("text", "label", name), row, strict=True))).encode() + b"\n" for row in rows
        ),
        "parquet": make_parquet(table),
    }[make]
    report = upload(tmp_path, {f"a.{make}": data})
    assert report.state == "ready", report.errors
    assert f"group = {name}" in report.reading or name == "group"
    subject_of = {text: subject for text, _, subject in rows}
    dataset = Dataset.open(tmp_path / "dataset")
    subjects = [{subject_of[text] for text in dataset.rows(split).columns["text"]} for split in SPLITS]
    assert all(subjects)
    assert sum(map(len, subjects)) == 30


def test_few_subjects_and_subjects_in_several_splits_are_reported(tmp_path: Path) -> None:
    rows = [f"sentence {row},{row % 2},{row % 3}" for row in range(60)]
    report = upload(tmp_path / "few", {"a.csv": "\n".join(["text,label,patient_id", *rows]).encode()})
    assert sample(report, "subjects_too_few")["found"] == "patient_id: 3 values"
    files = {
        name: "\n".join(
            ["text,label,patient_id", *(f"{name} sentence {row},{row % 2},{row % 15}" for row in range(60))]
        ).encode()
        for name in ("train.csv", "test.csv")
    }
    report = upload(tmp_path / "shared", files)
    assert count(report, "subjects_in_several_splits") == 13  # two are held out for validation
    assert sample(report, "subjects_in_several_splits")["found"] == "13 of 15 values of patient_id"


def test_parts_of_one_audio_clip_stay_in_one_split(tmp_path: Path) -> None:
    """Twenty audio files with five parts each, by NeMo's manifest."""
    generator = np.random.default_rng(0)
    clips = {f"r{number}.wav": generator.standard_normal(20_000).astype(np.float32) * 0.1 for number in range(20)}
    lines = [
        json.dumps({"audio_filepath": name, "offset": 0.5 * part, "duration": 0.5, "text": f"{name[:-4]} {part}"})
        for name in clips
        for part in range(5)
    ]
    members = [(name, encode_wav(Audio(values, 8_000))) for name, values in clips.items()]
    archive = make_zip([*members, ("manifest.json", "\n".join(lines).encode())])
    report = upload(tmp_path, {"speech.zip": archive}, task="speech_recognition")
    assert report.state == "ready", report.errors
    dataset = Dataset.open(tmp_path / "dataset")
    recordings = [{text.split()[0] for text in dataset.rows(split).columns["text"]} for split in SPLITS]
    assert all(recordings)
    assert sum(map(len, recordings)) == 20


@pytest.mark.parametrize("task", ["speech_recognition", "speech_synthesis"])
def test_speakers_are_held_out_for_recognition_and_kept_in_train_for_synthesis(tmp_path: Path, task: str) -> None:
    clips = samples.VALUES["audio"](60)
    lines = "".join(f"c{row}.wav|s{row % 12}|words {row}\n" for row in range(60))
    members = [
        *((f"c{row}.wav", clip) for row, clip in enumerate(clips)),
        ("l.csv", f"file|speaker|text\n{lines}".encode()),
    ]
    report = upload(tmp_path, {"speech.zip": make_zip(members)}, task=task)
    assert report.state == "ready", report.errors
    dataset = Dataset.open(tmp_path / "dataset")
    train, *others = [set(dataset.rows(split).columns["speaker"]) for split in SPLITS]
    assert (len(train) == 12) == (task == "speech_synthesis")
    assert any(train & speakers for speakers in others) == (task == "speech_synthesis")


def make_common_voice(lists: dict[str, range]) -> bytes:
    clips = samples.VALUES["audio"](40)
    header = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\tsegment\n"
    members = [(f"cv/de/clips/c{row}.wav", clip) for row, clip in enumerate(clips)]
    for name, rows in lists.items():
        lines = "".join(f"s{row}\tc{row}.wav\tword {row}\t2\t0\ttwenties\t\t\tde\t\n" for row in rows)
        members.append((f"cv/de/{name}.tsv", (header + lines).encode()))
    return make_zip(members)


def test_lists_of_common_voice_are_chosen_by_a_rule_that_is_reported(tmp_path: Path) -> None:
    lists = {
        "train": range(16), "dev": range(16, 20), "test": range(20, 24), "validated": range(30),
        "invalidated": range(30, 34), "other": range(34, 40),
    }  # fmt: skip
    report = upload(tmp_path / "all", {"cv.zip": make_common_voice(lists)}, task="speech_recognition")
    assert (report.state, report.splits) == ("ready", {"train": 16, "validation": 4, "test": 4})
    assert (count(report, "list_not_learned"), count(report, "clip_in_no_split")) == (2, 6)
    assert {entry["column"] for entry in next(e for e in report.errors if e.code == "fields_not_read").sample} == {
        "age", "locale"
    }  # fmt: skip
    validated = {name: rows for name, rows in lists.items() if name in ("validated", "invalidated", "other")}
    report = upload(tmp_path / "validated", {"cv.zip": make_common_voice(validated)}, task="speech_recognition")
    assert (report.state, report.accepted) == ("ready", 30)
    alone = upload(tmp_path / "other", {"cv.zip": make_common_voice({"other": range(40)})}, task="speech_recognition")
    assert (alone.state, alone.accepted) == ("ready", 40)


@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize("name", ["sample_submission.csv", "sampleSubmission.csv"])
def test_a_sample_submission_and_a_test_set_without_labels_are_left_out(
    tmp_path: Path, is_packed: bool, name: str
) -> None:
    submission = "\n".join(["id,label", *(f"{row},yes" for row in range(14))]).encode()
    files = {"train.csv": as_csv("train"), "test.csv": as_csv("test", columns="text"), name: submission}
    report = upload(tmp_path, {"kaggle.zip": make_zip(list(files.items()))} if is_packed else files)
    assert report.state == "ready", report.errors
    assert (report.accepted, sum(report.splits.values())) == (40, 40)
    assert (count(report, "list_not_learned"), count(report, "file_without_target")) == (1, 1)


def test_a_test_set_with_some_labels_is_an_error(tmp_path: Path) -> None:
    test = as_csv("test").replace(b",yes", b",")
    report = upload(tmp_path, {"train.csv": as_csv("train"), "test.csv": test})
    assert (report.state, count(report, "missing_label")) == ("rejected", 7)


def test_the_file_of_a_list_alone_is_learned(tmp_path: Path) -> None:
    report = upload(tmp_path, {"rejected.csv": as_csv("train")})
    assert (report.state, "list_not_learned" in codes(report)) == ("ready", False)


def test_archives_of_images_named_after_splits_hold(tmp_path: Path) -> None:
    images = iter(make_images(80))
    files = {
        f"{name}.zip": make_zip(
            [(f"{label}/{row}.png", encode_image(next(images))) for label in "ab" for row in range(rows)]
        )
        for name, rows in (("train2017", 20), ("val2017", 8), ("test2017", 9))
    }
    report = upload(tmp_path, files)
    assert (report.state, report.splits) == ("ready", {"train": 40, "validation": 16, "test": 18})
    assert report.reading == "read: image, label"


@pytest.mark.parametrize(
    ("segment", "text"),
    [
        ("able<ph x='1'/>next", "able next"),
        ("able<ph>&lt;br/&gt;</ph>next", "able next"),
        ("able <it pos='begin'>{1}</it>next", "able next"),
        ("un<bpt i='1'>&lt;b&gt;</bpt>break<ept i='1'>&lt;/b&gt;</ept>able", "unbreakable"),
        ("a <hi>bold</hi> word", "a bold word"),
        ("end.<ut/>Next", "end. Next"),
        ("(<ph/>x)", "(x)"),
    ],
)
def test_inline_codes_of_tmx_glue_no_words(tmp_path: Path, segment: str, text: str) -> None:
    data = as_tmx("train").replace(b"<seg>train sentence 7</seg>", f"<seg>{segment}</seg>".encode())
    report = upload(tmp_path, {"a.tmx": data}, splits={"train": 1.0})
    assert report.state == "ready", report.errors
    assert text in list(Dataset.open(tmp_path / "dataset").rows("train").columns["text"])


@pytest.mark.parametrize(("name", "split"), [("is_valid", "validation"), ("is_test", "test"), ("in_train", "train")])
def test_a_column_may_mark_the_rows_of_a_split(tmp_path, name, split):
    rows = "".join(f"sentence {row},{row % 2},{row % 4 == 0}\n" for row in range(80))
    report = upload(tmp_path, {"a.csv": f"text,label,{name}\n{rows}".encode()})

    assert report.guess.columns["split"] == name
    counts = {"train": {"test": 60, "validation": 2}, "validation": {"validation": 20}, "test": {"test": 20}}[split]
    assert {key: report.splits[key] for key in counts} == counts


def test_a_mark_without_a_label_beside_it_is_the_label(tmp_path):
    rows = "".join(f"sentence {row},{row % 2}\n" for row in range(40))
    report = upload(tmp_path, {"a.csv": f"text,is_valid\n{rows}".encode()})

    assert report.guess.columns == {"text": "text", "label": "is_valid"}


def test_a_patient_is_no_feature(tmp_path):
    rows = "".join(f"p{row // 4},{30 + row % 40},{row * 7 % 11},{row // 4 % 2}\n" for row in range(80))
    report = upload(tmp_path, {"a.csv": f"patient_id,age,bmi,outcome\n{rows}".encode()})

    assert report.guess.columns == {"features": "age + bmi", "label": "outcome", "group": "patient_id"}
