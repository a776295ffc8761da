import base64
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data.dataset import Dataset
from ml.data.limits import Limits
from tests.support.ml import samples
from tests.support.ml.dataset_files import (
    codes,
    count,
    encode_image,
    gzip_bytes,
    make_images,
    make_labels,
    make_parquet,
    sample,
    upload,
)

IMAGES, NAMES = make_images(40), make_labels(40)
ENCODED = [encode_image(image) for image in IMAGES]
NUMBERS = [int(name) for name in NAMES]
PIXELS = {f"pixel{index}": column for index, column in enumerate(IMAGES.reshape(40, -1).T)}
ALL = {"train": 1.0}


@pytest.mark.parametrize(
    "columns",
    [
        {"image": ENCODED, "label": NAMES},
        {"image": [{"bytes": data, "path": None} for data in ENCODED], "label": NUMBERS},
        {"image": [base64.b64encode(data).decode() for data in ENCODED], "label": NUMBERS},
        {"label": NUMBERS, **PIXELS},
        {"label": pa.array(NAMES).dictionary_encode(), **PIXELS},
        {"label": [float(number) for number in NUMBERS], **PIXELS},
        {"id": range(40), "y": NUMBERS, **{name: column.astype(np.float64) for name, column in PIXELS.items()}},
    ],
    ids=["bytes", "hugging face", "base64", "pixels", "dictionary", "labels as floats", "floats"],
)
def test_images_are_read_from_all_column_types(tmp_path, columns):
    report = upload(tmp_path, {"a.parquet": make_parquet(columns)}, splits=ALL)
    assert report.state == "ready"
    assert report.classes == ["0", "1"]
    rows = Dataset.open(tmp_path / "dataset").rows("train")
    assert np.array_equal(rows.columns["image"].array, IMAGES)
    assert list(rows.columns["label"]) == NAMES


def test_class_names_in_hugging_face_metadata_are_used(tmp_path):
    noted = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": ENCODED, "label": NUMBERS}).replace_schema_metadata({"huggingface": json.dumps(noted)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    report = upload(tmp_path, {"train-00000-of-00001.parquet": sink.getvalue().to_pybytes()})
    assert report.classes == ["cat", "dog"]


def test_invalid_cells_are_reported_with_their_rows(tmp_path):
    images = [*ENCODED[:20], None, b"junk", *ENCODED[22:]]
    names = [*NAMES[:39], None]
    report = upload(tmp_path, {"a.parquet": make_parquet({"image": images, "label": names})})
    assert report.state == "rejected"
    assert (sample(report, "image_not_encoded")["row"], sample(report, "image_not_encoded")["column"]) == (21, "image")
    assert sample(report, "image_unknown_format")["row"] == 22
    assert sample(report, "missing_label") == {"file": "a.parquet", "row": 40, "column": "label"}
    assert (report.rows, report.rejected) == (40, 3)


def test_a_pixel_without_a_value_is_reported(tmp_path):
    columns = {"label": NUMBERS, **PIXELS, "pixel3": [None, *range(39)]}
    report = upload(tmp_path, {"a.parquet": make_parquet(columns)})
    assert sample(report, "pixel_not_a_number")["column"] == "pixel3"
    assert sample(report, "pixel_not_a_number")["row"] == 1
    assert count(report, "pixel_not_a_number") == 1


def test_rows_are_limited_by_the_footer(tmp_path):
    data = make_parquet({"image": ENCODED, "label": NAMES})
    assert codes(upload(tmp_path, {"a.parquet": data}, limits=Limits(max_rows=39))) == {"too_many_rows"}
    assert codes(upload(tmp_path, {"a.parquet": data}, limits=Limits(max_cells=79))) == {"table_too_large"}


def test_parquet_inside_gzip_is_rejected_with_a_hint(tmp_path):
    report = upload(tmp_path, {"a.parquet.gz": gzip_bytes(make_parquet({"image": ENCODED, "label": NAMES}))})
    assert sample(report, "unsupported_file")["expected"] == "uncompressed Parquet"


def test_columns_can_be_chosen(tmp_path):
    columns = {"a": ENCODED, "b": ENCODED[::-1], "c": NAMES, "d": NAMES}
    report = upload(tmp_path, {"a.parquet": make_parquet(columns)}, columns={"image": "b", "label": "d"}, splits=ALL)
    assert report.state == "ready"
    assert np.array_equal(Dataset.open(tmp_path / "dataset").rows("train").columns["image"].array, IMAGES[::-1])


def test_label_minus_one_is_no_label_if_classes_have_names(tmp_path):
    noted = {"info": {"features": {"label": {"names": ["cat", "dog"]}}}}
    columns = {"image": ENCODED, "label": [-1 if row == 3 else row % 2 for row in range(40)]}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(noted)}), sink)
    report = upload(tmp_path, {"a.parquet": sink.getvalue()})
    assert report.classes == ["cat", "dog"]
    assert sample(report, "missing_label") == {"file": "a.parquet", "row": 4, "column": "label"}


def test_a_row_with_several_labels_is_reported(tmp_path):
    report = upload(tmp_path, {"a.parquet": make_parquet({"text": ["one", "two"], "label": [["a"], ["a", "b"]]})})
    assert (sample(report, "label_not_plain")["row"], sample(report, "label_not_plain")["column"]) == (2, "label")


@pytest.mark.parametrize(
    ("column", "values", "task"),
    [
        ("text", [f"an image of {row}" for row in range(40)], "image_text_matching"),
        ("caption", ["a dog", "a cat"] * 20, "image_text_matching"),
        ("objects", [{"bbox": [[1, 1, 3, 3]], "category": [row % 2]} for row in range(40)], "object_detection"),
    ],
)
def test_the_column_beside_images_decides_on_the_task(tmp_path, column, values, task):
    files = [{"bytes": image, "path": None} for image in ENCODED]
    report = upload(tmp_path, {"a.parquet": make_parquet({"image": files, column: values})})
    assert (report.state, report.guess.task) == ("ready", task)


def test_audio_clips_are_no_images(tmp_path):
    files = [{"bytes": clip, "path": "a.wav"} for clip in samples.VALUES["audio"](24)]
    report = upload(tmp_path, {"a.parquet": make_parquet({"audio": files, "sentence": ["yes", "no"] * 12})})
    assert (report.state, report.guess.task) == ("ready", "speech_recognition")


CLASS_LABEL = {"names": ["Coverall", "Mask"], "_type": "ClassLabel"}
BOX = {"feature": {"dtype": "float32", "_type": "Value"}, "length": 4, "_type": "Sequence"}


@pytest.mark.parametrize("key", ["category", "categories", "label", "category_id"])
@pytest.mark.parametrize("wrap", ["sequence", "large list", "brackets"])
def test_classes_of_objects_have_the_names_in_the_schema(tmp_path, key, wrap):
    fields = {"bbox": BOX, key: CLASS_LABEL}
    feature = {
        "sequence": {"feature": fields, "_type": "Sequence"},
        "large list": {"feature": fields, "_type": "LargeList"},
        "brackets": [fields],
    }[wrap]
    in_columns = {"bbox": [[1.0, 1.0, 3.0, 3.0], [0.0, 2.0, 2.0, 3.0]], key: [0, 1]}
    in_rows = [{"bbox": [1.0, 1.0, 3.0, 3.0], key: 0}, {"bbox": [0.0, 2.0, 2.0, 3.0], key: 1}]
    noted = {"info": {"features": {"image": {"_type": "Image"}, "objects": feature}}}
    table = pa.table({"image": ENCODED, "objects": [in_columns if wrap == "sequence" else in_rows] * 40})
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(noted)}), sink)
    report = upload(tmp_path, {"a.parquet": sink.getvalue()})

    assert (report.state, report.classes) == ("ready", ["Coverall", "Mask"])
    objects = Dataset.open(tmp_path / "dataset").rows("train")[0]["objects"]
    assert objects == [{"label": "Coverall", "box": [1, 1, 4, 4]}, {"label": "Mask", "box": [0, 2, 2, 5]}]


@pytest.mark.parametrize("type", [pa.float64(), pa.int64()])
def test_measurements_are_no_pixels(tmp_path, type):
    columns = {name: pa.array([row % 9 for row in range(40)], type=type) for name in ("a", "b", "c", "d")}

    report = upload(tmp_path, {"a.parquet": make_parquet({**columns, "species": ["one", "two"] * 20})})

    assert (report.state, report.guess.task, report.classes) == ("ready", "tabular_classification", ["one", "two"])
    assert Dataset.open(tmp_path / "dataset").rows("train")[0]["features"].keys() == {"a", "b", "c", "d"}


def test_numbered_columns_of_bytes_are_pixels(tmp_path):
    columns = {f"V{index}": values for index, values in enumerate(IMAGES.reshape(40, -1).T)}

    report = upload(tmp_path, {"a.parquet": make_parquet({**columns, "label": NAMES})}, splits=ALL)

    assert report.state == "ready"
    assert np.array_equal(Dataset.open(tmp_path / "dataset").rows("train").columns["image"].array, IMAGES)


@pytest.mark.parametrize("task", [None, "translation"])
@pytest.mark.parametrize("languages", [["zh", "en"], ["en", "zh"]])
def test_languages_of_a_translation_have_the_declared_order(tmp_path, languages, task):
    texts = {"en": [f"Sentence number {row}" for row in range(40)], "zh": [f"\u53e5\u5b50 {row}" for row in range(40)]}
    # Arrow, and so the file, orders the languages by name, whatever the schema of Hugging Face declares.
    cells = pa.StructArray.from_arrays([pa.array(texts[language]) for language in ("en", "zh")], ["en", "zh"])
    noted = {"info": {"features": {"translation": {"languages": languages, "_type": "Translation"}}}}
    table = pa.table({"id": [str(row) for row in range(40)], "translation": cells})
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(noted)}), sink)
    report = upload(tmp_path, {"a.parquet": sink.getvalue()}, task=task)

    assert (report.state, report.guess.task) == ("ready", "translation")
    row = Dataset.open(tmp_path / "dataset").rows("train")[0]
    assert (row["text"] in texts[languages[0]], row["target"] in texts[languages[1]]) == (True, True)
