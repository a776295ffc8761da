import pytest
import torch

from ml.config import Choice
from ml.learning.nn.network import build
from ml.learning.nn.objectives.masked_image_modeling import MaskedImageModeling, MaskedImageModelingConfig


def _objective(height: int = 28, width: int = 28, **config: float) -> MaskedImageModeling:
    torch.manual_seed(0)
    shape = {"channels": 1, "height": height, "width": width}
    network = build({"image": Choice(name="cnn", config={})}, shapes={"image": shape})
    return MaskedImageModeling(MaskedImageModelingConfig.model_validate(config), network)


def test_the_same_number_of_random_whole_patches_is_masked_in_each_image() -> None:
    objective, images = _objective(), torch.rand(5, 1, 28, 28)
    mask = objective.sample_mask(images)
    patches = mask.view(5, 7, 4, 7, 4).transpose(2, 3).reshape(5, 49, 16)
    assert (patches.all(dim=2) == patches.any(dim=2)).all()
    assert patches.all(dim=2).sum(dim=1).tolist() == [round(0.6 * 49)] * 5
    assert len({row.numpy().tobytes() for row in mask}) == 5
    assert not torch.equal(mask, objective.sample_mask(images))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (29, 31)])
def test_an_image_of_any_size_can_be_masked_in_part(height: int, width: int) -> None:
    objective = _objective(height, width)
    mask = objective.sample_mask(torch.rand(3, 1, height, width))
    assert mask.shape == (3, 1, height, width)
    assert mask.any()
    assert objective({"image": torch.rand(3, 1, height, width)})["loss"].isfinite()


def test_the_error_is_that_of_masked_pixels_which_the_network_does_not_read() -> None:
    objective = _objective().eval()
    left_half = torch.zeros(2, 1, 28, 28, dtype=torch.bool)
    left_half[..., :14] = True
    objective.sample_mask = lambda _: left_half  # type: ignore[method-assign]
    image = torch.rand(2, 1, 28, 28)
    dark, bright = image.masked_fill(left_half, 0), image.masked_fill(left_half, 1)
    with torch.no_grad():
        objective.pixels.weight.zero_()
        objective.pixels.bias.fill_(0.25)  # type: ignore[union-attr]
        assert objective({"image": dark})["loss"].item() == pytest.approx(0.25)
        assert objective({"image": bright})["loss"].item() == pytest.approx(0.75)
