"""Valid uploads with changed bytes get a report, and a ready dataset is readable."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.data.dataset import Dataset
from tests.support.ml import annotations
from tests.support.ml.dataset_files import (
    class_folders,
    encode_image,
    gzip_bytes,
    make_base64_csv,
    make_csv,
    make_idx_pair,
    make_images,
    make_labels,
    make_parquet,
    make_tar,
    make_zip,
    upload,
)

IMAGES, NAMES = make_images(24), make_labels(24)
ENCODED = [encode_image(image) for image in IMAGES]
FORMATS = ("JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM") * 4
MIXED = [encode_image(image, format=name) for image, name in zip(make_images(24, channels=3), FORMATS, strict=True)]
PIXELS = {f"pixel{index}": column for index, column in enumerate(IMAGES.reshape(24, -1).T)}

UPLOADS = {
    "voc": {"a.zip": make_zip(annotations.make_voc().items())},
    "coco": {"a.zip": make_zip(annotations.make_coco().items())},
    "yolo": {"a.zip": make_zip(annotations.make_yolo().items())},
    "idx": make_idx_pair(IMAGES, NAMES),
    "idx in gzip": {f"{name}.gz": gzip_bytes(data) for name, data in make_idx_pair(IMAGES, NAMES).items()},
    "zip": {"a.zip": make_zip(class_folders(IMAGES, NAMES))},
    "zip of every make": {"a.zip": make_zip([(f"{n % 2}/{n}.png", data) for n, data in enumerate(MIXED)])},
    "tar": {"a.tar": make_tar(class_folders(IMAGES, NAMES))},
    "tar.gz": {"a.tgz": make_tar(class_folders(IMAGES, NAMES), mode="w:gz")},
    "csv": {"a.csv": make_csv(IMAGES, NAMES)},
    "csv with quotes": {"a.csv": make_csv(IMAGES, NAMES, header=False).replace(b"\n0,", b'\n"0",')},
    "csv of base64": {"a.csv": make_base64_csv(ENCODED, NAMES)},
    "parquet of bytes": {"a.parquet": make_parquet({"image": ENCODED, "label": NAMES})},
    "parquet of pixels": {"a.parquet": make_parquet({"label": NAMES, **PIXELS}, compression="none")},
}


@st.composite
def damage(draw, size):
    """Draw a position, a number of bytes to cut there, and bytes to insert.

    Positions are often near the ends, where headers and footers are.
    """
    near_start, anywhere = st.integers(0, min(64, size)), st.integers(0, size)
    near_end = st.integers(max(0, size - 100), size)
    position = draw(st.one_of(near_start, anywhere, near_end))
    return position, draw(st.integers(0, 8)), draw(st.binary(max_size=8))


@pytest.mark.parametrize("name", UPLOADS)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_uploads_get_a_report(name, data):
    files = dict(UPLOADS[name])
    target = data.draw(st.sampled_from(sorted(files)))
    content = files[target]
    for position, cut, put in data.draw(st.lists(damage(len(content)), min_size=1, max_size=4)):
        content = content[:position] + put + content[position + cut :]
    with tempfile.TemporaryDirectory() as folder:
        report = upload(Path(folder), files | {target: content})
        assert (report.state == "ready") == (Path(folder) / "dataset").exists()
        assert all(entry.count >= len(entry.sample) >= 1 for entry in report.errors)
        if report.state == "ready":
            dataset = Dataset.open(Path(folder) / "dataset")
            rows = [row for split in report.splits for row in dataset.rows(split)]
            assert len(rows) == report.accepted
