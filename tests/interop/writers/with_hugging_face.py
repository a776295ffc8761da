"""Write the scene, or translations, as Parquet with datasets: `with_hugging_face.py FORM FOLDER`."""

import io
import sys
from pathlib import Path

import datasets
from PIL import Image
from scene import CLASSES, COUNT, boxes, pixels, split

form, folder = sys.argv[1], Path(sys.argv[2])
folder.mkdir()


def encode(number):
    file = io.BytesIO()
    Image.fromarray(pixels(number)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": f"{number}.png"}


def row(number):
    labels, corners = zip(*boxes(number), strict=True)
    sides = [[float(left), top, right - left, bottom - top] for left, top, right, bottom in corners]
    return {"image": encode(number), "objects": {"bbox": sides, "category": [CLASSES.index(label) for label in labels]}}


def translation(number):
    return {"translation": {"zh": f"\u53e5\u5b50 {number} \u5f88\u77ed", "en": f"Sentence number {number} is short"}}


if form == "objects":
    category = datasets.ClassLabel(names=list(CLASSES))
    objects = {
        "bbox": datasets.Sequence(datasets.Sequence(datasets.Value("float32"), 4)),
        "category": datasets.Sequence(category),
    }
    features = datasets.Features({"image": datasets.Image(), "objects": objects})
    make = row
else:
    features = datasets.Features({"translation": datasets.Translation(["zh", "en"])})
    make = translation
for name in ("train", "val"):
    rows = [make(number) for number in range(COUNT) if split(number) == name]
    datasets.Dataset.from_list(rows, features=features).to_parquet(folder / f"{name}-00000-of-00001.parquet")
