import numpy as np
import pytest

from ml.data.files import images
from ml.data.rows import Rows
from ml.encoders.image import ImageConfig, ImageEncoder
from ml.errors import DataError, InputError
from ml.tasks.object_detection import NO_OBJECT, ObjectDetection, ObjectDetectionConfig

LABELS = ["cat", "dog"]


def task(**config):
    encoder = ImageEncoder(ImageConfig(height=8, width=8, channels=1))
    return ObjectDetection(ObjectDetectionConfig(**config), {"image": encoder}, {"labels": LABELS})


def rows(*objects, height=10, width=20):
    return Rows({"image": [np.zeros((height, width, 1), dtype=np.uint8)] * len(objects), "objects": list(objects)})


DOG = {"label": "dog", "box": [5, 2, 15, 8]}
CAT = {"label": "cat", "box": [0, 0, 10, 10]}


def test_boxes_become_fractions_of_their_image_and_rows_are_padded():
    built = task()
    columns = built.encode(rows([DOG, CAT], []))

    arrays = built.collate(columns)

    assert columns["size"].tolist() == [[20, 10], [20, 10]]
    np.testing.assert_allclose(arrays["true_boxes"][0], [[0.25, 0.2, 0.75, 0.8], [0, 0, 0.5, 1]])
    assert arrays["true_labels"].tolist() == [[1, 0], [NO_OBJECT, NO_OBJECT]]
    assert arrays["true_boxes"].dtype == np.float32
    assert not arrays["true_crowds"].any()


def test_crowds_are_marked_and_stay_so_in_augmented_images():
    built = task()
    columns = built.encode(rows([DOG, {**CAT, "crowd": True}]))

    assert built.collate(columns)["true_crowds"].tolist() == [[False, True]]
    augmented = built.augment(columns, np.random.default_rng(0))
    assert [len(values[0]) for values in (augmented["true_labels"], augmented["true_crowds"])] == [
        len(augmented["true_boxes"][0])
    ] * 2


def test_a_box_is_clipped_to_its_image():
    (boxes,) = task().encode(rows([{"label": "cat", "box": [-5, 2, 30, 8]}]))["true_boxes"]

    np.testing.assert_allclose(boxes, [[0, 0.2, 1, 0.8]], rtol=1e-6)


def test_a_batch_without_objects_is_padded_to_one():
    built = task()

    assert built.collate(built.encode(rows([], [])))["true_labels"].tolist() == [[NO_OBJECT]] * 2


def test_an_error_names_a_class_that_is_not_in_the_training_data():
    with pytest.raises(DataError, match="'bird'; its classes are cat, dog"):
        task().encode(rows([{"label": "bird", "box": [0, 0, 1, 1]}]))


def test_boxes_are_in_pixels_of_the_image_that_was_sent():
    built = task()
    row = built.read(images.encode_png(np.zeros((10, 20, 1), dtype=np.uint8)), parameters={})
    batch = built.collate(built.encode(Rows({name: [value] for name, value in row.items()})))
    scores, boxes = np.zeros((1, 2, 2, 2)), np.zeros((1, 4, 2, 2))
    scores[0, 1, 0, 1] = 0.9
    boxes[0, :, 0, 1] = [0.25, -0.1, 0.75, 0.5]

    (output,) = built.decode({**batch, "scores": scores, "boxes": boxes})

    (detected,) = output["objects"]
    assert (detected["label"], detected["confidence"]) == ("dog", 0.9)
    assert detected["box"] == [5, 0, 15, 5]


def test_a_request_limits_confidence_and_number_of_objects():
    built = task()
    png = images.encode_png(np.zeros((8, 8, 1), dtype=np.uint8))
    scores, boxes = np.zeros((1, 2, 5, 5)), np.zeros((1, 4, 5, 5))
    scores[0, 0, ::2, ::2] = np.linspace(0.1, 0.9, 9).reshape(3, 3)

    def count(**parameters):
        row = built.read(png, parameters=parameters)
        batch = built.collate(built.encode(Rows({name: [value] for name, value in row.items()})))
        return len(built.decode({**batch, "scores": scores, "boxes": boxes})[0]["objects"])

    boxes[0] = np.arange(25).reshape(5, 5) * 4 + np.array([0, 0, 1, 1])[:, None, None]
    assert [count(), count(confidence=0.75), count(confidence=0), count(max_objects=3)] == [7, 2, 9, 3]


@pytest.mark.parametrize("parameters", [{"confidence": 2}, {"max_objects": 0}, {"max_objects": 10_000}])
def test_an_invalid_limit_raises_an_input_error(parameters):
    with pytest.raises(InputError):
        task().read(images.encode_png(np.zeros((8, 8, 1), dtype=np.uint8)), parameters=parameters)


def test_augmentation_moves_boxes_with_their_objects():
    built = task()
    pixels = np.zeros((8, 8, 1), dtype=np.uint8)
    pixels[2:5, 1:4] = 255
    columns = built.encode(Rows({"image": [pixels] * 40, "objects": [[{"label": "cat", "box": [1, 2, 4, 5]}]] * 40}))

    augmented = built.augment(columns, np.random.default_rng(0))

    assert built.augment(columns, np.random.default_rng(0)).keys() == columns.keys()
    assert task(augmentation="off").augment(columns, np.random.default_rng(0)) is columns
    for image, (box,) in zip(augmented["image"], augmented["true_boxes"], strict=True):
        y, x = np.nonzero(image[0] > 127)
        bright = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
        # A pixel that is half covered may be bright or dark.
        np.testing.assert_allclose(box * 8, bright, atol=0.75)


def test_a_dataset_without_objects_does_not_fit():
    from tests.support.ml import image_models

    summary = image_models.summary(columns={"image": "image", "objects": "objects"}, classes=None)

    assert ObjectDetection.check_dataset(summary) == [
        "object_detection needs at least one object; the dataset has none"
    ]
