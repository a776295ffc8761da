"""Each field of every format is used, or reported with its count.

Formats of objects have a walk of their own.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ml.data.formats import FORMATS
from tests.ml.data.formats.objects.test_every_field import WALKS as OBJECT_WALKS
from tests.support.ml import samples
from tests.support.ml.dataset_files import encode_image, make_idx_pair, make_images, make_parquet, make_zip, upload
from tests.support.ml.format_walks import Files, Walk, check_walks

COUNT = 24


def lines_of(header: str, row: Callable[[int], str]) -> bytes:
    return "\n".join([*([header] if header else []), *map(row, range(COUNT)), ""]).encode()


def objects_of(row: Callable[[int], object]) -> bytes:
    return "".join(json.dumps(row(number)) + "\n" for number in range(COUNT)).encode()


def pngs(name: str = "i{}.png") -> dict[str, bytes]:
    return {name.format(row): encode_image(image) for row, image in enumerate(make_images(COUNT))}


def table(row: int) -> dict[str, object]:
    split = "train" if row < 16 else "test"
    return {
        "id": row, "text": f"words {row}", "label": f"class{row % 2}", "split": split, "patient_id": f"p{row % 12}",
        "remark": f"said {row}",
    }  # fmt: skip


def as_csv() -> Files:
    rows = [table(row) for row in range(COUNT)]
    return {"a.csv": lines_of(",".join(rows[0]), lambda row: ",".join(map(str, rows[row].values())))}


def chat(row: int) -> dict[str, object]:
    return {
        "id": f"c{row}",
        "system": "be brief",
        "messages": [
            {"role": "user", "content": f"question {row}", "name": "ann"},
            {"role": "assistant", "content": f"answer {row}", "weight": 1},
        ],
        "tools": [{"type": "function"}],
    }


def as_tmx() -> Files:
    units = "".join(
        f'<tu tuid="t{row}" usagecount="3"><note>checked</note><prop type="domain">law</prop>'
        f'<tuv xml:lang="en"><seg>word {row} <ph x="1"/>end</seg></tuv><tuv xml:lang="de"><seg>Wort {row}</seg></tuv>'
        f'<tuv xml:lang="fr"><seg>mot {row}</seg></tuv></tu>'
        for row in range(COUNT)
    )
    header = '<header srclang="en" creationtool="maker" adminlang="it"/>'
    return {"a.tmx": f'<tmx version="1.4">{header}<body>{units}</body></tmx>'.encode()}


def as_common_voice() -> Files:
    header = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\tsegment"
    rows = lines_of(header, lambda row: f"s{row % 12}\tc{row}.wav\tword {row}\t2\t1\tfifties\tmale\tnorth\tde\tbench")
    clips = samples.VALUES["audio"](COUNT)
    return {"clips.tsv": rows, "notes.md": b"x", **{f"c{row}.wav": clip for row, clip in enumerate(clips)}}


def as_nemo() -> Files:
    clips = samples.VALUES["audio"](COUNT)
    manifest = objects_of(
        lambda row: {
            "audio_filepath": f"c{row}.wav", "text": f"word {row}", "offset": 0.01, "duration": 0.05,
            "speaker": f"s{row % 12}", "lang": "german", "pnc": "yes",
        }
    )  # fmt: skip
    return {"manifest.json": manifest, **{f"c{row}.wav": clip for row, clip in enumerate(clips)}}


def as_metadata() -> Files:
    rows = [f"i{row}.png,a caption {row},{'train' if row < 16 else 'test'},ann{row},9" for row in range(COUNT)]
    return {**pngs(), "metadata.csv": "\n".join(["file_name,text,split,painter,id", *rows, ""]).encode(), "a.pdf": b"x"}


def as_multimodal_table() -> Files:
    def line(row: int) -> str:
        split = "train" if row < 16 else "test"
        return f"i{row}.png,c{row}.wav,words {row},class{row % 2},{split},{row % 5},again{row}.png,{row}"

    clips = {f"c{row}.wav": clip for row, clip in enumerate(samples.VALUES["audio"](COUNT))}
    header = "file_name,audio_file_name,text,label,split,weight,mask,id"
    return {**pngs(), **clips, "metadata.csv": lines_of(header, line), "a.pdf": b"x"}


def as_webdataset() -> Files:
    texts = {f"i{row}.txt": f"a caption {row}".encode() for row in range(COUNT)}
    return {**pngs(), **texts, **{f"i{row}.npy": b"vector" for row in range(COUNT)}}


def as_recbole() -> Files:
    def row(number: int) -> str:
        return f"u{number % 4}\ti{number}\t4\t{1000 - number}\tphone"

    log = lines_of("user_id:token\titem_id:token\trating:float\ttimestamp:float\tplatform:token", row)
    return {"log.inter": log, "log.item": b"item_id:token\ttitle:token\ni1\tHeat\n", "log.user": b"user_id:token\nu1\n"}


def class_members(suffix: str, contents: list[bytes]) -> dict[str, bytes]:
    return {f"c{row % 2}/{row}{suffix}": content for row, content in enumerate(contents)}


WALKS: dict[str, list[Walk]] = {
    "csv": [
        Walk(
            as_csv,
            {
                "id": ("23,words", "99,words"), "text": ("words 3", "phrase 3"), "label": ("class1", "class2"),
                "split": (",test,", ",dev,"), "patient_id": ("p1,", "p2,"), "remark": ("said 3", "sang 3"),
            },
        )
    ],
    "jsonl": [
        Walk(
            lambda: {"a.jsonl": objects_of(table)},
            {
                "id": ('"id": 23', '"id": 99'), "text": ("words 3", "phrase 3"), "label": ("class1", "class2"),
                "split": ('"test"', '"dev"'), "patient_id": ('"p1"', '"p2"'), "remark": ("said 3", "sang 3"),
            },
        )
    ],
    "conversations": [
        Walk(
            lambda: {"a.jsonl": objects_of(chat)},
            {
                "id": ('"c3"', '"c99"'), "system": ("brief", "long"), "messages.role": ('"user"', '"tool"'),
                "messages.content": ("answer 3", "reply 3"), "messages.name": ('"ann"', '"bob"'),
                "messages.weight": ('"weight": 1', '"weight": 0'), "tools": ('"function"', '"other"'),
            },
        )
    ],
    "tmx": [
        Walk(
            as_tmx,
            {
                "header.srclang": ('srclang="en"', 'srclang="de"'), "header.creationtool": ("maker", "other"),
                "header.adminlang": ('"it"', '"es"'), "tu.tuid": ('"t3"', '"t99"'), "tu.usagecount": ('"3"', '"4"'),
                "note": ("checked", "seen"), "prop": ("law", "tax"), "tuv.seg": ("word 3", "term 3"),
                "tuv.xml:lang": ('"fr"', '"nl"'), "inline codes": ("<ph", "<it"),
            },
        )
    ],
    "aligned_texts": [
        Walk(
            lambda: {
                "a.en": lines_of("", lambda row: f"word {row}"), "a.de": lines_of("", lambda row: f"Wort {row}"),
                "a.en-de.ids": lines_of("", lambda row: f"id{row}"),
            },
            {"text": ("word 3", "term 3"), "target": ("Wort 3", "Ausdruck 3"), "a.en-de.ids": ("id3", "id99")},
        )
    ],
    "plain_text": [
        Walk(
            lambda: {**{f"d{row}.txt": b"document %d" % row for row in range(COUNT)}, "c.log": b"x\n"},
            {"text": ("document 3", "page 3"), "c.log": ("x", "y")},
            is_packed=True,
            task="text_generation",
        )
    ],
    "fasttext": [
        Walk(
            lambda: {"a.txt": lines_of("", lambda row: f"__label__c{row % 2} words {row}")},
            {"label": ("__label__c1", "__label__c2"), "text": ("words 3", "phrase 3")},
        )
    ],
    "text_folders": [
        Walk(
            lambda: {**class_members(".txt", [f"text {row}".encode() for row in range(COUNT)]), "c0/a.pdf": b"pdf"},
            {"text": ("text 3", "words 3"), "a.pdf": ("pdf", "fdp")},
            is_packed=True,
        )
    ],
    "recordings": [
        Walk(
            as_common_voice,
            {
                "client_id": ("s3\t", "s4\t"), "sentence": ("word 3", "term 3"), "up_votes": ("\t2\t1", "\t3\t1"),
                "down_votes": ("\t2\t1", "\t2\t0"), "age": ("fifties", "teens"), "gender": ("male", "other"),
                "accents": ("north", "south"), "locale": ("\tde\t", "\ten\t"), "segment": ("bench", "other"),
                "notes.md": ("x", "y"),
            },
            is_packed=True,
            task="speech_recognition",
        ),
        Walk(
            as_nemo,
            {
                "text": ("word 3", "term 3"), "offset": ("0.01", "0.02"), "duration": ("0.05", "0.06"),
                "speaker": ('"s3"', '"s4"'), "lang": ("german", "dutch"), "pnc": ('"yes"', '"no"'),
            },
            is_packed=True,
            task="speech_recognition",
        ),
    ],
    "image_table": [
        Walk(
            as_metadata,
            {
                "text": ("a caption 3", "a title 3"), "split": (",test,", ",dev,"), "painter": ("ann3", "bob3"),
                "id": (",9", ",8"), "a.pdf": ("x", "y"),
            },
            is_packed=True,
        )
    ],
    "image_captions": [
        Walk(
            as_webdataset,
            {"text": ("a caption 3", "a title 3"), ".npy": ("vector", "others")},
            is_packed=True,
        )
    ],
    "interactions": [
        Walk(
            as_recbole,
            {
                "user_id": ("u3", "u2"), "item_id": ("i3\t", "i33\t"), "rating": ("\t4\t", "\t5\t"),
                "timestamp": ("\t978", "\t1999"), "platform": ("phone", "tablet"), "log.item": ("Heat", "Alien"),
                "log.user": ("u1\n", "u9\n"),
            },
        )
    ],
    "multimodal_table": [
        Walk(
            as_multimodal_table,
            {
                "file_name": ("i3.png,c3", "i4.png,c3"), "audio_file_name": ("c3.wav,w", "c4.wav,w"),
                "text": ("words 3", "phrase 3"), "label": ("class1", "class2"), "split": (",test,", ",dev,"),
                "weight": (",4,again", ",7,again"), "mask": ("again3", "other3"), "id": (".png,23", ".png,99"),
                "a.pdf": ("x", "y"),
            },
            is_packed=True,
            task="multimodal_classification",
        )
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", WALKS)
def test_every_field_of_a_format_is_used_or_reported_with_its_count(tmp_path: Path, name: str) -> None:
    check_walks(tmp_path, name, WALKS[name])


def test_pixels_and_labels_are_all_that_idx_holds(tmp_path: Path) -> None:
    images = make_images(COUNT)
    names = [str(row % 2) for row in range(COUNT)]
    report = upload(tmp_path / "first", make_idx_pair(images, names))
    others = upload(tmp_path / "labels", make_idx_pair(images, names[1:] + names[:1]))
    assert report.summary is not None
    assert others.summary is not None
    assert (report.reading, report.summary.digest != others.summary.digest) == ("read: image, label", True)


def test_columns_of_parquet_are_used_or_reported(tmp_path: Path) -> None:
    rows = [table(row) for row in range(COUNT)]
    data = make_parquet({name: [row[name] for row in rows] for name in rows[0]})
    report = upload(tmp_path, {"a.parquet": data})
    assert report.reading == "read: text, label, split, group = patient_id; not read: remark, id"


def test_folders_are_classes_and_files_beside_them_are_reported(tmp_path: Path) -> None:
    images = class_members(".png", list(pngs().values()))
    report = upload(tmp_path / "images", {"a.zip": make_zip([*images.items(), ("c0/a.xcf", b"x")])})
    assert report.reading == "read: image, label; 1 file not read: a.zip/c0/a.xcf"
    clips = class_members(".wav", samples.VALUES["audio"](COUNT))
    archive = make_zip([*clips.items(), ("c0/a.mid", b"x")])
    report = upload(tmp_path / "sounds", {"a.zip": archive}, task="audio_classification")
    assert report.reading == "read: audio, label; 1 file not read: a.zip/c0/a.mid"


def test_every_format_is_walked() -> None:
    beside = {"idx", "parquet", "class_folders", "sound_folders"}
    assert set(FORMATS) == {*WALKS, *beside, *OBJECT_WALKS}
