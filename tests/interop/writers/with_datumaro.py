"""Write the scene with Datumaro: `with_datumaro.py FORM FOLDER`; `masks` and `turned` are forms of COCO."""

import sys

import datumaro
import numpy as np
from datumaro.components.annotation import Bbox, Mask
from datumaro.components.media import Image
from scene import CLASSES, COUNT, HEIGHT, WIDTH, boxes, pixels, split

form, folder = sys.argv[1:]
items = []
for number in range(COUNT):
    annotations = []
    for index, (label, (left, top, right, bottom)) in enumerate(boxes(number)):
        options = {"label": CLASSES.index(label), "id": 2 * number + index + 1, "group": 2 * number + index + 1}
        if form == "masks":
            mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
            mask[top:bottom, left:right] = True
            annotations.append(Mask(mask, **options))
        else:
            annotations.append(Bbox(left, top, right - left, bottom - top, **options))
    media = Image.from_numpy(pixels(number))
    items.append(datumaro.DatasetItem(str(number), subset=split(number), media=media, annotations=annotations))
dataset = datumaro.Dataset.from_iterable(items, categories=list(CLASSES))
dataset.export(folder, "coco_instances" if form == "masks" else form, save_media=True)
