"""Checks for images that are nearly equal, by a perceptual hash."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.cross_checks._near_duplicates import NearDuplicateCheck
from ml.data.cross_checks._picked_rows import pick
from ml.data.similarity import image_hash
from ml.data.similarity.twins import find_twins

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        values = pick(staged, rows)
        while values_of_batch := list(itertools.islice(values, _IMAGES_PER_BATCH)):
            gray = self.to_gray(values_of_batch)
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

    def to_gray(self, values: Sequence[Any]) -> np.ndarray:
        """Return stored images as gray ones, float32 [n, side, side]."""
        first = values[0]
        if all(isinstance(image, np.ndarray) and image.shape == first.shape for image in values):
            return image_hash.to_gray(np.stack(values))
        return np.stack([image_hash.to_gray(image) for image in values])
