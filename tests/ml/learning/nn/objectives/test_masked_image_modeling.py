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


def test_as_many_whole_patches_are_hidden_in_each_picture_and_others_each_time() -> None:
    objective, images = _objective(), torch.rand(5, 1, 28, 28)
    hidden = objective.hide(images)
    patches = hidden.view(5, 7, 4, 7, 4).transpose(2, 3).reshape(5, 49, 16)
    assert (patches.all(dim=2) == patches.any(dim=2)).all()
    assert patches.all(dim=2).sum(dim=1).tolist() == [round(0.6 * 49)] * 5
    assert len({row.numpy().tobytes() for row in hidden}) == 5
    assert not torch.equal(hidden, objective.hide(images))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (29, 31)])
def test_a_picture_of_any_size_can_be_hidden_in_part(height: int, width: int) -> None:
    objective = _objective(height, width)
    hidden = objective.hide(torch.rand(3, 1, height, width))
    assert hidden.shape == (3, 1, height, width)
    assert hidden.any()
    assert objective({"image": torch.rand(3, 1, height, width)})["loss"].isfinite()


def test_the_error_counts_hidden_pixels_alone_and_what_is_hidden_is_not_seen() -> None:
    objective = _objective().eval()
    left = torch.zeros(2, 1, 28, 28, dtype=torch.bool)
    left[..., :14] = True
    objective.hide = lambda _: left  # type: ignore[method-assign]
    seen = torch.rand(2, 1, 28, 28)
    dark, bright = seen.masked_fill(left, 0), seen.masked_fill(left, 1)
    with torch.no_grad():
        objective.pixels.weight.zero_()
        objective.pixels.bias.fill_(0.25)  # type: ignore[union-attr]
        assert objective({"image": dark})["loss"].item() == pytest.approx(0.25)
        assert objective({"image": bright})["loss"].item() == pytest.approx(0.75)
