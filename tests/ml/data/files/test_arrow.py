"""Folders that `save_to_disk` of Hugging Face datasets writes."""

import io
import json

import pyarrow as pa
import pytest

from ml.data.dataset import Dataset
from ml.data.limits import Limits
from tests.support.ml.dataset_files import codes, encode_image, make_images, make_zip, upload

FEATURES = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
TABLE = pa.table(
    {"text": [f"this was really {row}" for row in range(60)], "label": [row % 2 for row in range(60)]}
).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})


def make_arrow(table, *, has_index=False):
    """Write a stream, or a file with an index, of several batches."""
    file = io.BytesIO()
    with (pa.ipc.new_file if has_index else pa.ipc.new_stream)(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=16)
    return file.getvalue()


@pytest.mark.parametrize("has_index", [False, True])
def test_a_saved_dictionary_of_splits_is_read_with_its_splits_and_class_names(tmp_path, has_index):
    members = [
        ("my/dataset_dict.json", b'{"splits": ["train", "test"]}'),
        ("my/train/data-00000-of-00002.arrow", make_arrow(TABLE[:20], has_index=has_index)),
        ("my/train/data-00001-of-00002.arrow", make_arrow(TABLE[20:40], has_index=has_index)),
        ("my/train/state.json", b'{"_data_files": []}'),
        ("my/train/dataset_info.json", b"{}"),
        ("my/test/data-00000-of-00001.arrow", make_arrow(TABLE[40:], has_index=has_index)),
    ]
    report = upload(tmp_path, {"my.zip": make_zip(members)})

    assert (report.state, report.classes, codes(report)) == ("ready", ["neg", "pos"], {"file_beside_data"})
    assert report.splits == {"train": 36, "validation": 4, "test": 20}
    row = Dataset.open(tmp_path / "dataset").rows("test")[1]
    assert row == {"text": "this was really 41", "label": "pos"}


def test_images_in_arrow_are_read(tmp_path):
    images = [{"bytes": encode_image(image), "path": None} for image in make_images(40)]
    table = pa.table({"image": images, "label": [row % 2 for row in range(40)]})
    report = upload(tmp_path, {"data-00000-of-00001.arrow": make_arrow(table)})

    assert (report.state, report.guess.task) == ("ready", "image_classification")


@pytest.mark.parametrize("change", [lambda data: data[:300], lambda data: data[:8] + b"\xff" * 90 + data[98:]])
def test_a_damaged_file_is_refused(tmp_path, change):
    report = upload(tmp_path, {"a.arrow": change(make_arrow(TABLE))})

    assert (report.state, codes(report)) == ("rejected", {"damaged_file"})


def test_buffers_that_unpack_to_far_more_are_refused(tmp_path):
    table = pa.table({"text": ["a" * (1 << 20)] * 8})
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    report = upload(tmp_path, {"a.arrow": file.getvalue()}, limits=Limits(max_unchecked_bytes=1 << 20))

    assert (report.state, codes(report)) == ("rejected", {"archive_bomb"})
