"""Patches of images."""

import pytest
import torch

from ml.learning.nn.layers.input_embedding import PatchEmbedding, usual_patch


@pytest.mark.parametrize(
    ("sides", "patch"), [((1, 1), 1), ((8, 8), 2), ((28, 28), 7), ((20, 33), 9), ((64, 64), 16), ((224, 224), 16)]
)
def test_the_usual_patch_is_a_quarter_of_the_longer_side_and_at_most_sixteen(
    sides: tuple[int, int], patch: int
) -> None:
    assert usual_patch(*sides) == patch


def test_patches_are_read_row_by_row_and_padded_with_zeros() -> None:
    embedding = PatchEmbedding({"channels": 1, "height": 3, "width": 5}, 6, patch=2)
    image = torch.zeros(1, 1, 3, 5)
    image[0, 0, 2, 4] = 1  # alone in the last patch, but for three pixels of padding
    empty, embedded = embedding(torch.zeros_like(image)), embedding(image)
    assert embedded.shape == (1, 2 * 3, 6)
    torch.testing.assert_close(embedded[:, :5], empty[:, :5])
    torch.testing.assert_close(embedded[0, 5] - empty[0, 5], embedding.projection.weight[:, 0, 0, 0])


def test_a_class_token_stands_before_the_patches() -> None:
    embedding = PatchEmbedding({"channels": 3, "height": 4, "width": 4}, 6, patch=2, class_token=True)
    embedded = embedding(torch.rand(2, 3, 4, 4))
    assert embedded.shape == (2, 1 + 4, 6)
    assert embedding.class_token is not None
    torch.testing.assert_close(embedded[:, 0], (embedding.class_token + embedding.positions[0]).expand(2, 6))
