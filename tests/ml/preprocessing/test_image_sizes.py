"""Large images are read at a size that their number teaches."""

import pytest

from ml.data.dataset import DatasetSummary
from ml.encoders.image import ImageConfig, ImageEncoder
from ml.preprocessing.image_sizes import describe_reduction, expect_size, image_encoder_options
from ml.tasks.classification.image_classification import ImageClassification
from ml.tasks.object_detection import ObjectDetection


def summary_of(rows: int, smallest: tuple[int, int], largest: tuple[int, int] | None = None) -> DatasetSummary:
    """Return the summary of a dataset with images of these heights and widths."""
    largest = largest or smallest
    return DatasetSummary(
        format="class_folders",
        task="image_classification",
        columns={"image": "image", "label": "label"},
        splits={"train": rows, "validation": 10, "test": 10},
        facts={
            "image": {
                "channels": 3,
                "min_height": smallest[0],
                "min_width": smallest[1],
                "max_height": largest[0],
                "max_width": largest[1],
            }
        },
    )


@pytest.mark.parametrize(
    ("rows", "size", "expected"),
    [
        (192, (240, 320), (64, 88)),
        (192, (320, 240), (88, 64)),
        (4_000, (240, 320), (128, 168)),
        (16_000, (240, 320), (192, 256)),
        (192, (3024, 4032), (64, 88)),
        (192, (100, 2000), (16, 256)),
    ],
)
def test_the_shorter_side_follows_the_rows_and_the_aspect_ratio_stays(
    rows: int, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    options = image_encoder_options(summary_of(rows, size))
    assert (options["height"], options["width"]) == expected
    assert ImageClassification.encoder_options(summary_of(rows, size)) == {"image": options}


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (64, 64), (64, 200)])
def test_small_images_keep_their_size(size: tuple[int, int]) -> None:
    assert image_encoder_options(summary_of(192, size)) == {}


@pytest.mark.parametrize(("rows", "side"), [(192, 64), (4_000, 128), (90_000, 256)])
def test_images_of_several_sizes_are_centered_in_a_square(rows: int, side: int) -> None:
    expected = {"height": side, "width": side, "keep_ratio": True}
    assert image_encoder_options(summary_of(rows, (240, 320), (320, 320))) == expected


def test_small_images_of_several_sizes_are_left_to_the_encoder() -> None:
    assert image_encoder_options(summary_of(192, (20, 30), (28, 28))) == {}


def test_a_reduction_names_the_way_to_change_it() -> None:
    encoder = ImageEncoder(ImageConfig(height=64, width=88, channels=3))
    sentence = encoder.reduction(summary_of(192, (240, 320)))
    assert sentence is not None
    assert "320 x 240 pixels are read at 88 x 64" in sentence
    assert "--image-size (encoders.image.width" in sentence
    assert encoder.reduction(summary_of(192, (64, 88))) is None


@pytest.mark.parametrize(
    ("sizes", "options", "expected"),
    [
        (((480, 512), (480, 512)), {}, (240, 256)),
        (((480, 512), (480, 512)), {"height": 120, "width": 128}, (120, 128)),
        (((480, 512), (400, 300)), {}, (64, 64)),
        (((28, 28), (28, 28)), {}, (28, 28)),
    ],
)
def test_the_size_of_a_training_is_known_before_it(
    sizes: tuple[tuple[int, int], tuple[int, int]], options: dict[str, int], expected: tuple[int, int]
) -> None:
    assert expect_size(summary_of(60, *sizes), options) == expected


def test_a_large_size_says_what_half_of_it_saves() -> None:
    described = describe_reduction(summary_of(60, (480, 512)), height=240, width=256)
    assert described is not None
    assert (
        "read at 256 x 240: --image-size (encoders.image.width and .height) of 120 takes about a quarter" in described
    )
    assert describe_reduction(summary_of(60, (28, 28)), height=28, width=28) is None


def with_objects(summary: DatasetSummary, median_side: float) -> DatasetSummary:
    """Return the summary with objects of this size, relative to their image."""
    columns = {**summary.columns, "objects": "objects"}
    facts = {**summary.facts, "objects": {"objects": 200, "max_in_image": 3, "median_side": median_side}}
    return summary.model_copy(update={"columns": columns, "facts": facts})


@pytest.mark.parametrize(
    ("median_side", "side"),
    [
        (0.3, 64),
        (0.05, 160),
        # 18 pixels of 850; more than 256 would cost more than it finds.
        (0.021, 256),
    ],
)
def test_images_of_several_sizes_are_read_so_large_that_objects_are_seen(median_side: float, side: int) -> None:
    summary = with_objects(summary_of(80, (600, 700), (850, 900)), median_side)
    assert ObjectDetection.encoder_options(summary) == {"image": {"height": side, "width": side, "keep_ratio": True}}


def test_images_of_one_size_are_left_to_the_encoder_of_a_detector() -> None:
    assert ObjectDetection.encoder_options(with_objects(summary_of(80, (480, 640)), 0.02)) == {"image": {}}


def test_a_reduction_names_objects_that_become_too_small() -> None:
    summary = with_objects(summary_of(80, (600, 700), (850, 900)), 0.02)
    described = describe_reduction(summary, height=64, width=64)
    assert described is not None
    assert "read at 64 x 64, where half of the objects are less than 1.3 pixels across: more detail" in described
    large = describe_reduction(with_objects(summary, 0.2), height=64, width=64)
    assert large is not None
    assert "objects" not in large
