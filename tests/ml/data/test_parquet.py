import base64
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data.dataset import Dataset
from ml.data.limits import Limits
from tests.ml.data.makers import codes, count, encoded, labels, packed, parquet, pictures, sample, upload

IMAGES, NAMES = pictures(40), labels(40)
ENCODED = [encoded(image) for image in IMAGES]
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
def test_pictures_are_read_from_any_of_these(tmp_path, columns):
    report = upload(tmp_path, {"a.parquet": parquet(columns)}, splits=ALL)
    assert report.state == "ready"
    assert report.classes == ["0", "1"]
    rows = Dataset.open(tmp_path / "dataset").rows("train")
    assert np.array_equal(rows.columns["image"].array, IMAGES)
    assert list(rows.columns["label"]) == NAMES


def test_class_names_that_hugging_face_notes_are_used(tmp_path):
    noted = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": ENCODED, "label": NUMBERS}).replace_schema_metadata({"huggingface": json.dumps(noted)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    report = upload(tmp_path, {"train-00000-of-00001.parquet": sink.getvalue().to_pybytes()})
    assert report.classes == ["cat", "dog"]


def test_bad_cells_have_their_rows(tmp_path):
    images = [*ENCODED[:20], None, b"junk", *ENCODED[22:]]
    names = [*NAMES[:39], None]
    report = upload(tmp_path, {"a.parquet": parquet({"image": images, "label": names})})
    assert report.state == "rejected"
    assert sample(report, "image_not_encoded")["row"] == 21
    assert sample(report, "image_unknown_format")["row"] == 22
    assert sample(report, "missing_label") == {"file": "a.parquet", "row": 40}
    assert (report.rows, report.rejected) == (40, 3)


def test_a_pixel_without_a_value_is_told(tmp_path):
    columns = {"label": NUMBERS, **PIXELS, "pixel3": [None, *range(39)]}
    report = upload(tmp_path, {"a.parquet": parquet(columns)})
    assert sample(report, "pixel_not_a_number")["column"] == "pixel3"
    assert sample(report, "pixel_not_a_number")["row"] == 1
    assert count(report, "pixel_not_a_number") == 1


def test_rows_are_limited_by_the_footer(tmp_path):
    data = parquet({"image": ENCODED, "label": NAMES})
    assert codes(upload(tmp_path, {"a.parquet": data}, limits=Limits(max_rows=39))) == {"too_many_rows"}
    assert codes(upload(tmp_path, {"a.parquet": data}, limits=Limits(max_cells=79))) == {"table_too_large"}


def test_parquet_inside_gzip_is_refused_with_advice(tmp_path):
    report = upload(tmp_path, {"a.parquet.gz": packed(parquet({"image": ENCODED, "label": NAMES}))})
    assert sample(report, "unsupported_file")["expected"] == "Parquet as it is"


def test_columns_choose(tmp_path):
    columns = {"a": ENCODED, "b": ENCODED[::-1], "c": NAMES, "d": NAMES}
    report = upload(tmp_path, {"a.parquet": parquet(columns)}, columns={"image": "b", "label": "d"}, splits=ALL)
    assert report.state == "ready"
    assert np.array_equal(Dataset.open(tmp_path / "dataset").rows("train").columns["image"].array, IMAGES[::-1])
