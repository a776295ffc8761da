"""Bad and hostile uploads get a report with locations, and leave no files behind."""

import gzip
import io
import lzma
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ml.data.column_types.items import MAX_HISTORY_ITEMS
from ml.data.issue_catalog import ISSUE_TYPES
from ml.data.limits import Limits
from tests.support.ml.dataset_files import (
    class_folders,
    codes,
    encode_image,
    gzip_bytes,
    make_base64_csv,
    make_csv,
    make_idx,
    make_idx_pair,
    make_images,
    make_labels,
    make_oversized_png,
    make_parquet,
    make_png,
    make_tar,
    make_zip,
    sample,
    upload,
)

IMAGES, NAMES = make_images(40), make_labels(40)
FOLDERS = class_folders(IMAGES, NAMES)
PAIR = make_idx_pair(IMAGES, NAMES)
TRAIN_IMAGES, TRAIN_LABELS = PAIR
CSV = make_csv(IMAGES, NAMES)
ENCODED = [encode_image(image) for image in IMAGES]
GOOD_TEXTS = "".join(["text,label\n", *(f"line {row},{row % 2}\n" for row in range(40))]).encode()
PARQUET = make_parquet({"image": ENCODED, "label": NAMES})


@dataclass(frozen=True)
class Case:
    """An upload, its expected issue code and location."""

    name: str
    code: str
    files: dict[str, bytes]
    at: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    state: str = "rejected"


def in_zip(name: str, code: str, member: tuple[str | zipfile.ZipInfo, bytes], file: str, **more: Any) -> Case:
    """One bad member among good ones."""
    return Case(name, code, {"a.zip": make_zip([*FOLDERS, member])}, {"file": f"a.zip/{file}"}, **more)


def in_tar(name: str, code: str, type: bytes, **attributes: Any) -> Case:
    info = tarfile.TarInfo("0/odd.png")
    info.type = type
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return Case(name, code, {"a.tar": make_tar([*FOLDERS, (info, b"")])}, {"file": "a.tar/0/odd.png"})


def in_image(name: str, code: str, data: bytes, *, state: str = "rejected") -> Case:
    return Case(
        name, code, {"a.zip": make_zip([*FOLDERS, ("0/odd.png", data)])}, {"file": "a.zip/0/odd.png"}, state=state
    )


def in_idx(
    name: str, code: str, *, images: bytes | None = None, labels: bytes | None = None, state: str = "rejected"
) -> Case:
    files = {TRAIN_IMAGES: images or PAIR[TRAIN_IMAGES], TRAIN_LABELS: labels or PAIR[TRAIN_LABELS]}
    return Case(name, code, files, {"file": TRAIN_IMAGES if images else TRAIN_LABELS}, state=state)


def in_csv(name: str, code: str, data: bytes, at: dict[str, Any] | None = None, **options: Any) -> Case:
    return Case(name, code, {"a.csv": data}, {"file": "a.csv", **(at or {})}, options)


def silence(*, seconds: int, rate_hz: int = 8000) -> bytes:
    """A WAV of 16-bit noise that is hardly heard."""
    samples = np.random.default_rng(0).integers(-9, 9, size=seconds * rate_hz, dtype=np.int16)
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + samples.nbytes,
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        rate_hz,
        2 * rate_hz,
        2,
        16,
        b"data",
        samples.nbytes,
    )
    return header + samples.tobytes()


def special(mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("0/odd.png")
    info.external_attr = mode << 16
    return info


def make_encrypted() -> bytes:
    data = bytearray(make_zip(FOLDERS))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(mark) + offset] |= 1
    return bytes(data)


def overlapping(copies: int = 2000) -> bytes:
    """A zip with overlapping members (a zip bomb as of D. Fifield, 2019)."""
    data = make_zip([("0/000000.png", make_png() * 100)])
    start = data.find(b"PK\x01\x02")
    end = data.find(b"PK\x05\x06")
    listed = b"".join(data[start:end].replace(b"000000", b"%06d" % number) for number in range(copies))
    tail = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, copies, copies, len(listed), start, 0)
    return data[:start] + listed + tail


def encode_mode(mode: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (6, 6), 1 if mode in ("P", "L", "I;16") else None).save(
        file, options.pop("format", "PNG"), **options
    )
    return file.getvalue()


def make_animated() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("L", (6, 6), value) for value in (3, 200)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def make_rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 8
    return encode_mode("L", exif=exif)


def change_row(row: int, change: Callable[[str], str]) -> bytes:
    rows = CSV.decode().splitlines()
    rows[row] = change(rows[row])
    return "\n".join(rows).encode()


def nest(*names: str) -> bytes:
    data = make_zip(FOLDERS)
    for name in reversed(names):
        data = make_zip([(name, data)])
    return data


def many_labels() -> bytes:
    return make_csv(IMAGES, [f"name{number}" for number in range(40)])


ARCHIVES = [
    in_zip("zip slip", "archive_unsafe_name", ("../../0/evil.png", make_png()), "../../0/evil.png"),
    in_zip("absolute name", "archive_unsafe_name", ("/0/evil.png", make_png()), "/0/evil.png"),
    in_zip("drive", "archive_unsafe_name", ("C:\\0\\evil.png", make_png()), "C:\\0\\evil.png"),
    in_zip("slip by backslash", "archive_unsafe_name", ("0\\..\\..\\evil.png", make_png()), "0\\..\\..\\evil.png"),
    in_zip("control characters", "archive_unsafe_name", ("0/a\x1b[31m\n.png", make_png()), "0/a\\u001b[31m\\u000a.png"),
    in_zip("text turned round", "archive_unsafe_name", ("0/\u202egnp.exe", make_png()), "0/\\u202egnp.exe"),
    in_zip("endless name", "archive_unsafe_name", (f"0/{'x' * 5000}.png", make_png()), f"0/{'x' * 112}..."),
    in_zip("far too deep", "archive_too_deep", ("d/" * 20 + "a.png", make_png()), "d/" * 20 + "a.png"),
    in_zip("link in zip", "archive_link", (special(0o120777), b"/etc/passwd"), "0/odd.png"),
    in_zip("device in zip", "archive_special_file", (special(0o020666), b""), "0/odd.png"),
    Case(
        "names that differ in case",
        "archive_names_differ_in_case",
        {"a.zip": make_zip([*FOLDERS, ("0/a.png", make_png(5)), ("0/A.png", make_png(6))])},
        {},
        {},
        "ready",
    ),
    in_zip("zip in zips", "archive_nested", ("0/a.zip", nest("b.zip", "c.zip", "d.zip")), "0/a/b/c/d.zip"),
    in_zip("zip that says it is a image", "archive_nested", ("0/more.png", make_zip(FOLDERS)), "0/more.png"),
    in_zip("gzip that says it is a image", "archive_nested", ("0/more.png", gzip_bytes(make_png())), "0/more.png"),
    in_zip("file without use", "file_ignored", ("0/notes.txt", b"hello"), "0/notes.txt", state="ready"),
    in_tar("symbolic link", "archive_link", tarfile.SYMTYPE, linkname="/etc/passwd"),
    in_tar("hard link", "archive_link", tarfile.LNKTYPE, linkname="0/0000.png"),
    in_tar("device", "archive_special_file", tarfile.CHRTYPE, devmajor=1, devminor=5),
    in_tar("pipe", "archive_special_file", tarfile.FIFOTYPE),
    Case(
        "slip in tar",
        "archive_unsafe_name",
        {"a.tar": make_tar([*FOLDERS, ("../x.png", make_png())])},
        {"file": "a.tar/../x.png"},
    ),
    Case(
        "same name twice",
        "archive_duplicate_name",
        {"a.tar": make_tar([*FOLDERS, FOLDERS[0]])},
        {"file": "a.tar/0/0000.png"},
    ),
    Case("password", "archive_encrypted", {"a.zip": make_encrypted()}, {"file": "a.zip/0/0000.png"}),
    Case("overlapping members", "archive_bomb", {"a.zip": overlapping()}, {"file": "a.zip"}),
    Case(
        "too many members",
        "archive_too_many_files",
        {"a.zip": make_zip(FOLDERS)},
        {"file": "a.zip"},
        {"limits": Limits(max_members=39)},
    ),
    Case("cut zip", "damaged_file", {"a.zip": make_zip(FOLDERS)[:-300]}, {"file": "a.zip"}),
    Case("cut tar.gz", "damaged_file", {"a.tgz": gzip_bytes(make_tar(FOLDERS))[:-300]}, {"file": "a.tgz"}),
    Case("cut xz", "damaged_file", {"a.txz": lzma.compress(make_tar(FOLDERS))[:-2000]}, {"file": "a.txz"}),
    Case("zip of nothing", "archive_without_images", {"a.zip": make_zip([])}, {"file": "a.zip"}),
    Case("zip of bytes", "archive_without_images", {"a.zip": make_zip([("a.bin", bytes(9))])}, {"file": "a.zip"}),
    Case("7-Zip", "unsupported_file", {"a.7z": b"7z\xbc\xaf\x27\x1c" + bytes(100)}, {"file": "a.7z"}),
    Case("Zstandard", "unsupported_file", {"a.tar.zst": b"\x28\xb5\x2f\xfd" + bytes(100)}, {"file": "a.tar.zst"}),
    Case(
        "images outside the splits",
        "folder_outside_splits",
        {"a.zip": make_zip([*class_folders(IMAGES, NAMES, above="train/"), ("more/0/x.png", make_png())])},
        {"file": "a.zip/more/0/x.png"},
    ),
    Case(
        "a image beside the classes",
        "missing_label",
        {"a.zip": make_zip([*FOLDERS, ("x.png", make_png(77))])},
        {"file": "a.zip/x.png"},
    ),
]

IMAGE_CASES = [
    in_image("empty image", "image_unknown_format", b""),
    in_image("text as image", "image_unknown_format", b"<svg xmlns='x'></svg>"),
    in_image("cut image", "image_truncated", encode_image(make_images(1, side=80)[0])[:-900]),
    in_image("damaged image", "image_corrupt", make_png()[:20] + bytes(40)),
    in_image("huge image", "image_too_large", make_oversized_png(90_000, 90_000)),
    in_image("floating point", "image_values", encode_mode("F", format="TIFF")),
    in_image("animation", "image_frames", make_animated(), state="ready"),
    in_image("sixteen bits", "image_16_bit", encode_mode("I;16"), state="ready"),
    in_image("CMYK", "image_color_space", encode_mode("CMYK", format="JPEG"), state="ready"),
    in_image("transparent", "image_transparent", encode_mode("RGBA"), state="ready"),
    in_image("sideways", "image_rotated", make_rotated(), state="ready"),
    Case(
        "another size",
        "image_sizes_differ",
        {"a.zip": make_zip([*FOLDERS, ("0/x.png", make_png(side=9))])},
        {"found": "width x height from 6 x 6 to 9 x 9"},
        {},
        "ready",
    ),
    Case(
        "color among gray",
        "image_channels_differ",
        {"a.zip": make_zip([*FOLDERS, ("0/x.png", encode_image(make_images(1, channels=3)[0]))])},
        {},
        {},
        "ready",
    ),
    Case(
        "heavy file",
        "file_too_large",
        {"a.zip": make_zip([*FOLDERS, ("0/x.png", make_png() + bytes(5000))])},
        {"file": "a.zip/0/x.png"},
        {"limits": Limits(max_image_bytes=4000)},
    ),
]

IDX = [
    in_idx("cut images", "idx_truncated", images=PAIR[TRAIN_IMAGES][:-1]),
    in_idx("cut labels", "idx_truncated", labels=PAIR[TRAIN_LABELS][:-1]),
    in_idx("more than the header says", "idx_trailing_bytes", images=PAIR[TRAIN_IMAGES] + b"x", state="ready"),
    in_idx("header of nothing else", "idx_header", images=PAIR[TRAIN_IMAGES][:9]),
    in_idx("pixels as floats", "idx_type", images=make_idx(IMAGES[:, :, :, 0].astype(">f4"), type_code=0x0D)),
    in_idx("labels as floats", "idx_type", labels=make_idx(np.zeros(40, dtype=">f4"), type_code=0x0D)),
    in_idx("two dimensions", "idx_dimensions", images=make_idx(IMAGES.reshape(40, -1))),
    in_idx("images of no width", "idx_dimensions", images=make_idx(IMAGES[:, :, :0, 0])),
    in_idx(
        "a header that lies about rows", "too_many_rows", images=struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 6, 6)
    ),
    in_idx(
        "a header that lies about size", "image_too_large", images=struct.pack(">BBBB3I", 0, 0, 8, 3, 1, 2**31, 2**31)
    ),
    in_idx("fewer labels", "unequal_counts", labels=make_idx(np.zeros(39, dtype=np.uint8))),
    in_idx("damaged gzip", "damaged_file", images=gzip_bytes(PAIR[TRAIN_IMAGES])[:-400]),
    Case("labels alone", "idx_unpaired", {TRAIN_LABELS: PAIR[TRAIN_LABELS]}, {"file": TRAIN_LABELS}),
    Case(
        "a label file too many",
        "idx_unpaired",
        {**PAIR, "more-labels": make_idx(np.zeros(40, dtype=np.uint8))},
        {"file": "more-labels"},
    ),
]

TABLES = [
    in_csv(
        "text for a pixel",
        "pixel_not_a_number",
        change_row(5, lambda row: row.replace(",", ",dark,", 1).rpartition(",")[0]),
        {"line": 6, "row": 5, "column": "pixel0", "found": "dark"},
    ),
    in_csv(
        "pixel of nothing",
        "pixel_not_a_number",
        change_row(9, lambda row: row.rpartition(",")[0] + ","),
        {"line": 10, "row": 9, "column": "pixel35", "found": "nothing"},
    ),
    in_csv(
        "endless pixel",
        "pixel_not_a_number",
        change_row(9, lambda row: row.rpartition(",")[0] + ",inf"),
        {"line": 10, "column": "pixel35", "found": "inf"},
    ),
    in_csv(
        "pixel too bright",
        "pixel_out_of_range",
        change_row(7, lambda row: row.rpartition(",")[0] + ",300"),
        {"line": 8, "row": 7, "column": "pixel35", "found": "300.0"},
    ),
    in_csv(
        "pixel below black",
        "pixel_out_of_range",
        change_row(40, lambda row: row.rpartition(",")[0] + ",-1"),
        {"line": 41, "row": 40},
    ),
    in_csv(
        "row with a cell too many",
        "ragged_row",
        change_row(2, lambda row: row + ",1"),
        {"line": 3, "row": 2, "found": "38 cells", "expected": "37"},
    ),
    in_csv("row cut short", "ragged_row", change_row(40, lambda row: row[:8]), {"line": 41, "row": 40}),
    in_csv("no label in a row", "missing_label", change_row(3, lambda row: row[1:]), {"line": 4, "row": 3}),
    in_csv("open quote", "bad_quoting", change_row(30, lambda row: '"' + row), {"line": 31}),
    in_csv("quote inside a cell", "bad_quoting", change_row(30, lambda row: '"0"x' + row[1:]), {"line": 31}),
    in_csv(
        "measurements without a target",
        "target_not_named",
        b"height,width,depth\n" + b"".join(b"%d,%d.5,%d\n" % (row % 7, row % 9, row % 3) for row in range(30)),
        {"found": "columns height, width, depth"},
    ),
    in_csv("no square", "pixels_not_square", make_csv(make_images(40)[:, :5], NAMES), {"found": "30 pixel columns"}),
    Case(
        "color or not",
        "pixels_shape_assumed",
        {"a.csv": make_csv(make_images(40, channels=3), NAMES)},
        {"file": "a.csv", "found": "108 columns"},
        {},
        "ready",
    ),
    Case(
        "fractions of a pixel",
        "pixels_rounded",
        {"a.csv": make_csv(IMAGES, NAMES, scale=0.5)},
        {"file": "a.csv"},
        {},
        "ready",
    ),
    in_csv("a shape that does not fit", "pixels_not_square", CSV, columns={"shape": "7x7"}),
    in_csv(
        "a column that is not there", "column_missing", CSV, {"found": "no column color"}, columns={"label": "color"}
    ),
    in_csv("a position that is not there", "column_missing", CSV, {"found": "no column 99"}, columns={"label": 99}),
    in_csv("a canonical column nobody knows", "invalid_columns", CSV, {"found": "photo"}, columns={"photo": 1}),
    in_csv("pixels backwards", "invalid_columns", CSV, columns={"image": "pixel9:pixel0"}),
    in_csv(
        "no images",
        "no_image_columns",
        b"name,age\nann,31\nbob,27\n",
        {"found": "name, age"},
        task="image_classification",
    ),
    in_csv("file names for images", "no_image_columns", b"image,label\na.png,0\nb.png,1\n"),
    in_csv(
        "file names for images, named",
        "image_not_encoded",
        b"image,label\na.png,0\nb.png,1\n",
        {"line": 2, "row": 1, "found": "a.png"},
        columns={"image": "image"},
    ),
    Case(
        "an empty history",
        "history_empty",
        {"a.jsonl": b'{"items": ["a", "b", "c"]}\n' * 3 + b'{"items": []}\n'},
        {"row": 4},
        {"format": "interactions"},
    ),
    Case(
        "an item that is none",
        "item_invalid",
        {"a.jsonl": b'{"items": ["a", true, "c"]}\n'},
        {"row": 1, "found": "True"},
        {"format": "interactions"},
    ),
    Case(
        "a history without end",
        "history_too_long",
        {"a.jsonl": b'{"items": [' + b"1," * MAX_HISTORY_ITEMS + b"1]}\n"},
        {"row": 1, "found": f"{MAX_HISTORY_ITEMS + 1:,} items"},
        {"format": "interactions"},
    ),
    Case(
        "ratings",
        "ratings_not_used",
        {
            "a.csv": b"user,item,rating\n"
            + b"".join(b"%d,%d,4\n" % (user, item) for user in range(30) for item in range(4))
        },
        {"file": "a.csv", "column": "rating"},
        {"format": "interactions"},
        state="ready",
    ),
    Case(
        "an archive without a log",
        "no_log_in_archive",
        {"a.zip": make_zip([("notes.md", b"none")])},
        {"file": "a.zip"},
        {"format": "interactions"},
    ),
    Case(
        "a name for an audio clip",
        "audio_not_encoded",
        {"a.csv": b"audio,text\none.wav,one\n"},
        {"row": 1, "found": "one.wav"},
        {"task": "speech_recognition"},
    ),
    Case(
        "a long audio clip",
        "audio_long",
        {"a.zip": make_zip([("metadata.csv", b"file_name,text\na.wav,one\n"), ("a.wav", silence(seconds=61))])},
        {"file": "a.zip/a.wav"},
        {"task": "speech_recognition"},
    ),
    Case(
        "a table of one column",
        "manifest_without_columns",
        {"a.zip": make_zip([("metadata.csv", b"file_name\na.png\n"), ("a.png", make_png())])},
        {"found": "file_name"},
        {"format": "image_table"},
    ),
    Case(
        "images without their table",
        "manifest_missing",
        {"a.zip": make_zip([("a.png", make_png()), ("b.png", make_png(1))])},
        {"found": "2 images"},
        {"format": "image_table"},
    ),
    Case(
        "files of different columns",
        "columns_differ",
        {"a.csv": b"text,label\nfine,0\ngood,1\n", "b.csv": b"text,target\nfine,eine feine Sache\n"},
        {"found": "text, target (target besides)", "expected": "text"},
    ),
    Case(
        "an empty text",
        "text_missing",
        {"a.csv": GOOD_TEXTS + b" ,1\n"},
        {"file": "a.csv", "row": 41},
        state="ready",
    ),
    in_csv("a text without end", "text_too_long", b"text,label\n" + b"a" * 1_000_001 + b",1\n", {"row": 1}),
    Case(
        "JSON cut off", "json_invalid", {"a.jsonl": b'{"text": "fine", "label": 1}\n{"text": '}, {"line": 2, "row": 2}
    ),
    Case(
        "a JSON list that is cut off",
        "json_invalid",
        {"a.json": b'[\n  {"text": "fine", "label": 1},\n  {"text": "bad", "lab'},
        {"file": "a.json"},
    ),
    Case(
        "accents that were read in another encoding",
        "text_misread",
        {"a.csv": GOOD_TEXTS + "das Café ist schön,1\n".encode().decode("cp1252").encode()},
        {"file": "a.csv", "row": 41, "found": "das CafÃ© ist schÃ¶n"},
        state="ready",
    ),
    Case(
        "characters that were lost",
        "text_misread",
        {"a.csv": GOOD_TEXTS + "das Caf\N{REPLACEMENT CHARACTER},1\n".encode()},
        {"file": "a.csv", "row": 41, "found": "das Caf\N{REPLACEMENT CHARACTER}"},
        state="ready",
    ),
    Case(
        "signs that nobody sees",
        "text_control_characters",
        {"a.csv": GOOD_TEXTS + b"bell\x07 and more,1\n"},
        {"file": "a.csv", "row": 41, "found": "bell\\u0007 and more"},
        state="ready",
    ),
    Case(
        "JSON that is no object",
        "json_not_an_object",
        {"a.jsonl": b'{"text": "fine", "label": 1}\n[1, 2]\n'},
        {"line": 2, "found": "[1, 2]", "expected": "an object"},
    ),
    Case(
        "a list for a text",
        "text_not_plain",
        {"a.jsonl": b'{"text": "fine", "label": 1}\n{"text": ["fine"], "label": 1}\n'},
        {"line": 2, "row": 2},
    ),
    in_csv(
        "one bad base64",
        "image_not_encoded",
        make_base64_csv(ENCODED, NAMES).replace(b"\n1,iVBOR", b"\n1,!VBOR", 1),
        {"line": 3, "row": 2},
    ),
    in_csv(
        "base64 of something else",
        "image_unknown_format",
        make_base64_csv([*ENCODED[:39], b"hello"], NAMES),
        {"line": 41, "row": 40},
    ),
    in_csv(
        "too many columns", "table_too_large", b"a," * 300_000 + b"\n" + b"1," * 300_000, {"found": "300,001 columns"}
    ),
    in_csv("damaged UTF-16", "not_text", b"\xff\xfe" + CSV.decode().encode("utf-16-le")[:-1] + b"\xd8", {}),
    in_csv("label as long as a book", "label_too_long", make_csv(IMAGES, [*NAMES[:39], "x" * 500]), {"row": 40}),
    Case("only a header", "empty_dataset", {"a.csv": CSV.partition(b"\n")[0]}),
    Case("cut Parquet", "damaged_file", {"a.parquet": PARQUET[:-20]}, {"file": "a.parquet"}),
    Case("Parquet in name only", "damaged_file", {"a.parquet": b"PAR1" + bytes(300) + b"PAR1"}, {"file": "a.parquet"}),
    Case(
        "Parquet without anything to read",
        "no_columns",
        {"a.parquet": make_parquet({"label": NAMES, "when": pa.array(range(40), pa.date32())})},
        {"file": "a.parquet"},
    ),
    Case(
        "Parquet with nothing in a cell",
        "image_not_encoded",
        {"a.parquet": make_parquet({"image": [None, *ENCODED[1:]], "label": NAMES})},
        {"file": "a.parquet", "row": 1},
    ),
]

WHOLE = [
    Case("nothing", "no_files", {}),
    Case("no content", "empty_file", {"a.csv": b""}, {"file": "a.csv"}),
    Case("bytes of nobody's", "format_not_recognized", {"a.bin": b"\x01\0\x02" * 100}),
    Case("a format nobody knows", "unknown_format", {"a.csv": CSV}, {"found": "xml"}, {"format": "xml"}),
    Case(
        "another format than said",
        "wrong_format",
        {"a.csv": CSV},
        {"file": "a.csv", "found": "text"},
        {"format": "idx"},
    ),
    Case("a file of another kind", "wrong_format", {**PAIR, "z.csv": CSV}, {"file": "z.csv"}),
    Case(
        "columns for folders", "columns_not_used", {"a.zip": make_zip(FOLDERS)}, {}, {"columns": {"label": 1}}, "ready"
    ),
    Case("fractions beyond one", "invalid_splits", {"a.csv": CSV}, {}, {"splits": {"train": 0.9, "test": 0.9}}),
    Case("fractions without train", "invalid_splits", {"a.csv": CSV}, {}, {"splits": {"train": 0.0, "test": 1.0}}),
    Case(
        "a split nobody knows",
        "invalid_splits",
        {"a.csv": CSV},
        {"found": "practice"},
        {"splits": {"a.csv": "practice"}},
    ),
    Case("a seed that is none", "invalid_splits", {"a.csv": CSV}, {}, {"splits": {"train": 1, "seed": "x"}}),
    Case(
        "hardly another class",
        "nearly_one_class",
        {"a.csv": make_csv(IMAGES, ["7"] * 38 + ["8"] * 2)},
        {"found": "7: 38 of 40 rows", "expected": "less than 95%"},
        {},
        "ready",
    ),
    Case("one class", "one_class", {"a.csv": make_csv(IMAGES, ["7"] * 40)}, {"found": "7"}, {}, "ready"),
    Case("a class of one", "class_too_small", {"a.csv": make_csv(IMAGES, [*NAMES[:39], "9"])}, {"found": "9: 1"}),
    Case(
        "a class of three",
        "class_tiny",
        {"a.csv": make_csv(IMAGES, [*NAMES[:37], "9", "9", "9"])},
        {"found": "9: 3"},
        {},
        "ready",
    ),
    Case("every row its own class", "every_row_its_own_class", {"a.csv": many_labels()}),
    Case("too many classes", "too_many_classes", {"a.csv": many_labels()}, {}, {"limits": Limits(max_classes=39)}),
    Case(
        "classes that differ in case",
        "class_names_differ_in_case",
        {"a.csv": make_csv(IMAGES, ["Cat", "cat"] * 20)},
        {"found": "Cat, cat"},
        {},
        "ready",
    ),
    Case(
        "a class only in test",
        "class_missing_in_train",
        {"train.csv": CSV, "test.csv": make_csv(make_images(9, seed=3), ["5"] * 9)},
        {"found": "5"},
    ),
    Case(
        "a class not in test",
        "class_missing_in_split",
        {"train.csv": CSV, "test.csv": make_csv(make_images(9, seed=3), ["1"] * 9)},
        {"found": "0 in test"},
        {},
        "ready",
    ),
    Case("few rows", "tiny_dataset", {"a.csv": make_csv(IMAGES[:8], NAMES[:8])}, {"found": "8 rows"}, {}, "ready"),
    Case(
        "the same image twice",
        "duplicate_rows",
        {"a.csv": CSV + CSV.splitlines()[5]},
        {"row": 41, "found": "the same image as a.csv, row 5"},
        {},
        "ready",
    ),
    Case(
        "the same image as two things",
        "conflicting_labels",
        {"a.csv": CSV + b"1" + CSV.splitlines()[5][1:]},
        {"row": 5},
        {},
        "ready",
    ),
    Case(
        "the same image in train and test",
        "duplicate_across_splits",
        {
            "train.csv": CSV,
            "test.csv": make_csv(np.concatenate([make_images(20, seed=4), IMAGES[:2]]), make_labels(22)),
        },
        {"file": "train.csv", "row": 1, "found": "the same image as test.csv, row 21"},
        {},
        "ready",
    ),
]

CASES = [*ARCHIVES, *IMAGE_CASES, *IDX, *TABLES, *WHOLE]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_bad_upload_gets_an_issue_with_its_location(tmp_path, case):
    report = upload(tmp_path, case.files, **case.options)
    assert case.code in codes(report)
    assert sample(report, case.code).items() >= case.at.items()
    assert report.state == case.state
    assert (report.summary is None) == (report.state == "rejected")
    remaining = {path.name for path in tmp_path.iterdir()}
    assert remaining == {"incoming", "dataset"} if report.state == "ready" else remaining == {"incoming"}
    assert {path.name for path in (tmp_path / "incoming").iterdir()} == set(case.files)
    report_json = report.model_dump_json()
    assert str(tmp_path) not in report_json
    assert "\x1b" not in report_json


def test_every_issue_type_has_a_test():
    """Every code has a case above, or is named in another test."""
    beside = [path for path in Path(__file__).parents[1].rglob("test_*.py") if path != Path(__file__)]
    named = {code for path in beside for code in re.findall(r'"([a-z0-9_]+)"', path.read_text())}
    assert set(ISSUE_TYPES) - {case.code for case in CASES} - named == set()


def test_gzip_within_gzip_is_rejected(tmp_path):
    report = upload(tmp_path, {"a.csv.gz": gzip.compress(gzip_bytes(CSV))})
    assert codes(report) == {"unsupported_file"}


def test_an_unsafe_name_never_becomes_a_path(tmp_path):
    before = set(Path("/").iterdir())
    upload(
        tmp_path,
        {
            "a.zip": make_zip(
                [("../../../../../../plinth-was-here.png", make_png()), ("/plinth-was-here.png", make_png())]
            )
        },
    )
    assert set(Path("/").iterdir()) == before
    assert not list(tmp_path.rglob("plinth-was-here*"))


@pytest.mark.parametrize("content", [b"\n", b" \n\n", b"\r\n", b"\t\n"])
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.tsv", "a.jsonl"])
def test_a_file_of_blank_lines_is_an_empty_dataset(tmp_path: Path, name: str, content: bytes) -> None:
    report = upload(tmp_path, {name: content})
    assert report.state == "rejected"
    assert "empty_dataset" in codes(report)
