"""Images with boxes that all writers share, and what a reader must get from them."""

import numpy as np

COUNT, TRAIN_COUNT = 28, 20
WIDTH, HEIGHT = 40, 30
CLASSES = ("cat", "dog")
#: Gray levels between two images: the level of an image is its number, whatever a JPEG rounds.
STEP = 8


def pixels(number):
    return np.full((HEIGHT, WIDTH, 3), STEP * number + STEP // 2, dtype=np.uint8)


def split(number):
    return "train" if number < TRAIN_COUNT else "val"


def boxes(number):
    """Return label and left, top, right, bottom of one or two objects."""
    shift = number % 5
    first = (CLASSES[number % 2], [2 + shift, 3, 12 + shift, 11])
    return [first, ("dog", [20, 5, 33, 27])] if number % 3 == 0 else [first]
