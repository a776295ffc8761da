"""Checks for images that are nearly equal, by a perceptual hash."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.data.cross_checks._near_duplicates import NearDuplicateCheck
from ml.data.cross_checks._picked_rows import pick
from ml.data.similarity import image_hash
from ml.data.similarity.twins import find_twins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.cross_checks.base import StagedRows
    from ml.data.similarity.twins import Twins

#: Images that are hashed together.
_IMAGES_PER_BATCH: Final = 256


class NearDuplicateImages(NearDuplicateCheck):
    """Compares the images of the key column, at 640 bytes of memory a row."""

    name = "near_duplicate_images"
    key_type = "image"
    max_rows = 100_000
    #: Correlation of thumbnails. At 0.997, no test digit of MNIST has a twin, and copies of photos at
    #: JPEG quality 30, half the size, or other brightness are all found.
    min_similarity = 0.997

    def find(self, staged: StagedRows, rows: np.ndarray, splits: np.ndarray) -> Twins:
        """Return the twins by their hashes and thumbnails."""
        hashes = np.zeros(len(rows), dtype=np.uint64)
        thumbnails = np.zeros((len(rows), image_hash.THUMBNAIL_SIDE**2), dtype=np.float16)
        start = 0
        for gray in _batches(staged, rows):
            batch = slice(start, start + len(gray))
            hashes[batch], thumbnails[batch] = image_hash.make_hashes(gray), image_hash.make_thumbnails(gray)
            start += len(gray)
        # A plain image has no features to compare.
        usable = np.flatnonzero(thumbnails.any(axis=1))
        hashes, thumbnails = hashes[usable], thumbnails[usable]
        twins = find_twins(
            image_hash.make_bands(hashes),
            splits[usable],
            lambda left, right: image_hash.compare(hashes, thumbnails, left, right),
            min_similarity=self.min_similarity,
        )
        return twins.spread(usable, len(rows))


def _batches(staged: StagedRows, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the images of `rows` as gray ones, float32 [n, side, side]."""
    values = pick(staged, rows)
    while batch := list(itertools.islice(values, _IMAGES_PER_BATCH)):
        has_one_shape = all(isinstance(image, np.ndarray) and image.shape == batch[0].shape for image in batch)
        yield image_hash.to_gray(np.stack(batch)) if has_one_shape else np.stack(list(map(image_hash.to_gray, batch)))
