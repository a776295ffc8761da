import base64

import numpy as np
import pytest

from ml.data.files import images
from ml.errors import InputError
from ml.tasks.image_generation import ImageGeneration, ImageGenerationConfig
from tests.support.ml import image_models


def task(labels=image_models.CLASSES):
    state = {"labels": list(labels), "latent": 4}
    return ImageGeneration(ImageGenerationConfig(), {"image": image_models.encoder()}, state)


def noise(built, **fields):
    row = built.read(fields, parameters={})
    rows = type(image_models.rows())({name: [value] for name, value in row.items()})
    return built.collate(built.encode(rows))


def test_a_seed_gives_the_same_noise_and_label_each_time():
    first, second, different = (noise(task(), seed=seed) for seed in (5, 5, 6))

    assert first["noise"].shape == (1, 4)
    assert first["noise"].dtype == np.float32
    np.testing.assert_array_equal(first["noise"], second["noise"])
    np.testing.assert_array_equal(first["label"], second["label"])
    assert (first["noise"] != different["noise"]).any()


def test_noise_is_standard_normal():
    draws = np.concatenate([noise(task(), seed=seed)["noise"] for seed in range(500)])

    assert draws.mean() == pytest.approx(0, abs=0.1)
    assert draws.std() == pytest.approx(1, abs=0.1)


def test_without_a_seed_every_image_is_different():
    assert (noise(task())["noise"] != noise(task())["noise"]).any()


def test_a_requested_label_is_generated():
    assert noise(task(), label="2")["label"].tolist() == [2]


def test_without_a_label_every_label_occurs():
    assert {int(noise(task(), seed=seed)["label"][0]) for seed in range(40)} == {0, 1, 2}


def test_an_error_for_an_unknown_label_lists_the_labels():
    with pytest.raises(InputError, match="there is no label named '9'; known: 0, 1, 2"):
        task().read({"label": "9"}, parameters={})


def test_a_model_without_labels_rejects_a_label():
    with pytest.raises(InputError, match="without labels"):
        task(labels=()).read({"label": "1"}, parameters={})
    assert "label" not in noise(task(labels=()), seed=1)


@pytest.mark.parametrize("raw_input", [{"seed": -1}, {"seed": 2**32}, {"seed": "x"}, {"sed": 1}, b"png", [1]])
def test_an_invalid_input_raises_an_input_error(raw_input):
    with pytest.raises(InputError):
        task().read(raw_input, parameters={})


def test_data_without_labels_gives_no_labels():
    rows = image_models.rows(labels=False)
    learn = ImageGeneration.learn

    assert learn(ImageGenerationConfig(), image_models.summary(classes=None), rows) == {"labels": []}
    assert learn(ImageGenerationConfig(conditional=False), image_models.summary(), image_models.rows()) == {
        "labels": []
    }
    assert learn(ImageGenerationConfig(), image_models.summary(), image_models.rows()) == {"labels": ["0", "1", "2"]}


def test_the_output_is_a_png_with_its_label_and_seed():
    arrays = noise(task(), label="1", seed=9)
    drawn = np.linspace(-0.2, 1.2, 64).reshape(1, 1, 8, 8)

    (output,) = task().decode({**arrays, "image": drawn})

    assert output["label"] == "1"
    assert output["seed"] == 9
    pixels = images.decode(base64.b64decode(output["image"]))
    np.testing.assert_array_equal(pixels[:, :, 0], np.rint(drawn[0, 0].clip(0, 1) * 255))


def test_the_bound_equals_its_closed_form():
    built = task(labels=())
    columns = built.encode(image_models.rows(3, labels=False))
    generator = np.random.default_rng(0)
    logits, mean, log_variance = (generator.normal(size=shape) for shape in ((3, 1, 8, 8), (3, 4), (3, 4)))
    outputs = {"pixels": logits, "mean": mean, "log_variance": log_variance}

    evaluation = built.evaluate(outputs, columns, train=None)

    target, drawn = columns["image"] / 255, 1 / (1 + np.exp(-logits))
    reconstruction_loss = -(target * np.log(drawn) + (1 - target) * np.log(1 - drawn)).sum(axis=(1, 2, 3))
    variance = np.exp(log_variance)
    divergence = (0.5 * (variance + mean**2 - 1 - np.log(variance))).sum(axis=1)
    assert evaluation.metrics["negative_elbo"] == pytest.approx((reconstruction_loss + divergence).mean())
    assert evaluation.metrics["reconstruction_error"] == pytest.approx(np.square(drawn - target).mean())
    assert evaluation.baseline == {}


def test_the_baseline_generates_the_mean_image():
    built = task(labels=())
    columns = built.encode(image_models.rows(6, labels=False))
    outputs = {"pixels": np.zeros((6, 1, 8, 8)), "mean": np.zeros((6, 4)), "log_variance": np.zeros((6, 4))}

    evaluation = built.evaluate(outputs, columns, train=columns)

    mean = (columns["image"].sum(axis=0) / 255 + 1) / 8
    target = columns["image"] / 255
    reconstruction_loss = -(target * np.log(mean) + (1 - target) * np.log(1 - mean)).sum(axis=(1, 2, 3))
    assert evaluation.baseline["negative_elbo"] == pytest.approx(reconstruction_loss.mean())
    assert evaluation.baseline["reconstruction_error"] == pytest.approx(np.square(mean - target).mean())
    # Gray everywhere costs ln 2 per pixel.
    assert evaluation.metrics["negative_elbo"] == pytest.approx(64 * np.log(2))
    assert evaluation.baseline.keys() == evaluation.metrics.keys() == built.metrics.keys()


def test_a_row_is_converted_to_a_request_and_an_image():
    row_input, target = ImageGeneration.to_input_and_target(image_models.rows()[1])

    assert row_input.model_dump(exclude_none=True) == {"label": "1"}
    assert target.keys() == {"image"}
