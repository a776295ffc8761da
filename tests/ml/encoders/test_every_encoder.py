"""Contract of every encoder."""

import json

import numpy as np
import pytest

from ml.data.files.audio import decode
from ml.encoders import ENCODERS
from ml.encoders.base import collate_slots, encode_slots
from ml.errors import PackageError
from tests.support.ml import image_models, samples

SOUNDS = [decode(clip) for clip in samples.VALUES["audio"](9)]
#: Raw values by encoder.
VALUES = {
    "characters": samples.VALUES["text"](40),
    "image": list(image_models.rows().columns["image"]),
    "items": samples.VALUES["items"](40),
    "log_mel": SOUNDS,
    "mel_spectrogram": SOUNDS,
    "record": samples.VALUES["record"](40),
    "text": samples.VALUES["text"](40),
}

every_encoder = pytest.mark.parametrize("name", list(ENCODERS))


def values(name):
    return VALUES[name]


@every_encoder
def test_a_saved_encoder_is_loaded_and_encodes_alike(name, tmp_path):
    learned = ENCODERS[name].learn(values(name), {})

    learned.save(tmp_path)
    loaded = ENCODERS[name].load(tmp_path)

    assert loaded.config == learned.config
    assert loaded.shape() == learned.shape()
    before, after = (item.collate(item.encode(values(name)))["signal"] for item in (learned, loaded))
    np.testing.assert_array_equal(before, after)


@every_encoder
def test_a_batch_of_many_equals_many_of_one(name):
    learned = ENCODERS[name].learn(values(name), {})

    whole = learned.collate(learned.encode(values(name)))

    for index, value in enumerate(values(name)):
        single = learned.collate(learned.encode([value]))
        assert single.keys() == whole.keys()
        real = whole["mask"][index] if "mask" in whole else ...
        assert "mask" not in single or single["mask"].all()
        np.testing.assert_array_equal(single["signal"][0], whole["signal"][index][real])


@every_encoder
def test_losses_are_reported_once(name):
    learned = ENCODERS[name].learn(values(name), {})
    learned.count_loss("cut", 0)
    learned.count_loss("cut", 2)

    assert learned.pop_losses() == {"cut": 2}
    assert learned.pop_losses() == {}


@every_encoder
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"config": {"no": "such"}}', '{"config": null}'])
def test_a_damaged_file_is_a_package_error(name, content, tmp_path):
    (tmp_path / "encoder.json").write_text(content)

    with pytest.raises(PackageError, match="cannot be read"):
        ENCODERS[name].load(tmp_path)


@every_encoder
def test_the_file_is_plain_json_that_names_the_encoder(name, tmp_path):
    ENCODERS[name].learn(values(name), {}).save(tmp_path)

    assert json.loads((tmp_path / "encoder.json").read_text())["name"] == name


def test_a_slot_may_read_a_column_of_another_name():
    rows = image_models.rows(2)

    columns = encode_slots({"left": image_models.encoder()}, {"left": "image"}, rows)
    arrays = collate_slots({"left": image_models.encoder()}, {**columns, "label": np.array([1, 2])})

    assert arrays["left"].shape == (2, 1, 8, 8)
    assert arrays["label"].tolist() == [1, 2]
