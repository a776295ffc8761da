import numpy as np
import pytest
from pydantic import ValidationError

from ml.data.files import images
from ml.encoders.image import ImageEncoder
from ml.errors import DataError
from ml.tasks.classification.image_classification import ImageClassification, ImageClassificationConfig
from tests.support.ml import image_models


def task(**config):
    state = {"labels": list(image_models.CLASSES), "augmentation": config.get("augmentation", "off")}
    return ImageClassification(ImageClassificationConfig(**config), {"image": image_models.encoder()}, state)


def test_labels_keep_the_order_of_the_import():
    summary = image_models.summary(classes=["1", "2", "10"])

    state = ImageClassification.learn(ImageClassificationConfig(), summary, image_models.rows())

    assert state == {"labels": ["1", "2", "10"], "augmentation": "light"}


def test_one_class_is_refused():
    (reason,) = ImageClassification.check_dataset(image_models.summary(classes=["cat"]))

    assert reason == "image_classification needs at least two classes; the dataset has ['cat']"


def test_pixels_and_a_png_of_them_give_the_same_row():
    pixels = image_models.rows()[0]["image"]

    from_pixels = task().read({"pixels": pixels[:, :, 0].tolist()}, parameters={})
    from_png = task().read(images.encode_png(pixels), parameters={})

    np.testing.assert_array_equal(from_pixels["image"], from_png["image"])


def test_a_larger_color_image_is_encoded_as_in_training():
    large = np.random.default_rng(1).integers(0, 256, size=(50, 30, 3), dtype=np.uint8)

    row = task().read(images.encode_png(large), parameters={})
    served = task().encode(type(image_models.rows())({"image": [row["image"]]}))["image"]

    trained = ImageEncoder(image_models.encoder().config).encode([large])
    np.testing.assert_array_equal(served, trained)


def test_a_package_without_an_augmentation_is_not_augmented():
    columns = task().encode(image_models.rows())

    assert task().augment(columns, np.random.default_rng(0))["image"] is columns["image"]
    light = task(augmentation="light").augment(columns, np.random.default_rng(0))
    assert (light["image"] != columns["image"]).any()
    np.testing.assert_array_equal(light["label"], columns["label"])


def test_the_head_gets_the_config_without_augmentation():
    config = task(loss="mean_squared_error", label_smoothing=0.1, dropout=0.2, augmentation="light").head_config()

    assert config == {"classes": 3, "loss": "mean_squared_error", "label_smoothing": 0.1, "dropout": 0.2}


@pytest.mark.parametrize("config", [{"loss": "hinge"}, {"label_smoothing": 1}, {"augmentation": "mirror"}, {"lr": 1}])
def test_a_wrong_option_is_refused(config):
    with pytest.raises(ValidationError):
        task(**config)


def test_an_error_names_a_label_that_is_not_in_the_training_data():
    rows = image_models.rows(3)
    rows.columns["label"] = ["0", "9", "1"]

    with pytest.raises(DataError, match="'9'"):
        task().encode(rows)


def test_evaluation_counts_the_training_labels_for_its_baseline():
    columns = task().encode(image_models.rows(12))
    logits = np.eye(3)[columns["label"]] * 9

    evaluation = task().evaluate({"logits": logits}, columns, train=columns)

    assert evaluation.metrics["accuracy"] == 1
    assert evaluation.baseline["accuracy"] == pytest.approx(1 / 3)
    assert evaluation.extra["classes"] == ["0", "1", "2"]
