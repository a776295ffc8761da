"""Images with bright rectangles, and the annotations of these in the usual formats."""

import json
from typing import Any

import numpy as np

from tests.support.ml.dataset_files import encode_image

WIDTH, HEIGHT = 20, 16
CLASSES = ("cat", "dog")
SPLITS = {"train": 14, "val": 4, "test": 4}


def objects(number: int) -> list[tuple[str, list[int]]]:
    """Return label and left, top, right, bottom; every fourth image shows a second object."""
    left, top = number % 9, number % 5
    first = (CLASSES[number % 2], [left, top, left + 6, top + 8])
    return [first] + [("cat", [12, 2, 18, 9])] * (number % 4 == 3)


def draw_image(number: int) -> bytes:
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    for _, (left, top, right, bottom) in objects(number):
        pixels[top:bottom, left:right] = 100 + number
    return encode_image(pixels)


def numbers_by_split() -> dict[str, list[int]]:
    starts = np.cumsum([0, *SPLITS.values()]).tolist()
    return {split: list(range(start, start + SPLITS[split])) for split, start in zip(SPLITS, starts, strict=False)}


def make_voc_xml(
    boxes: list[tuple[str, list[Any]]], *, name: str = "", size: tuple[int, int] = (WIDTH, HEIGHT)
) -> bytes:
    corners = ("xmin", "ymin", "xmax", "ymax")
    elements = "".join(
        f"<object><name>{label}</name><bndbox>"
        + "".join(f"<{corner}>{value}</{corner}>" for corner, value in zip(corners, box, strict=True))
        + "</bndbox></object>"
        for label, box in boxes
    )
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}</filename>{sides}{elements}</annotation>".encode()


def make_voc() -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for split, numbers in numbers_by_split().items():
        files[f"VOC/ImageSets/Main/{split}.txt"] = "".join(f"p{number}\n" for number in numbers).encode()
        for number in numbers:
            files[f"VOC/JPEGImages/p{number}.png"] = draw_image(number)
            files[f"VOC/Annotations/p{number}.xml"] = make_voc_xml(objects(number), name=f"p{number}.png")
    return files


def make_coco_json(numbers: list[int], **changes: Any) -> bytes:
    annotations = []
    for number in numbers:
        for label, (left, top, right, bottom) in objects(number):
            box = [left, top, right - left, bottom - top]
            annotations.append(
                {"image_id": number, "category_id": 10 + CLASSES.index(label), "bbox": box, "iscrowd": 0}
            )
    content = {
        "images": [
            {"id": number, "file_name": f"p{number}.png", "width": WIDTH, "height": HEIGHT} for number in numbers
        ],
        "categories": [{"id": 10 + code, "name": name} for code, name in enumerate(CLASSES)],
        "annotations": [{"id": row, **annotation} for row, annotation in enumerate(annotations)],
    }
    return json.dumps({**content, **changes}).encode()


def make_coco() -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for split, numbers in numbers_by_split().items():
        files[f"annotations/instances_{split}.json"] = make_coco_json(numbers)
        files |= {f"{split}2017/p{number}.png": draw_image(number) for number in numbers}
    return files


def make_yolo_text(boxes: list[tuple[str, list[int]]]) -> bytes:
    lines = []
    for label, (left, top, right, bottom) in boxes:
        center = ((left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT)
        lines.append(
            f"{CLASSES.index(label)} {center[0]} {center[1]} {(right - left) / WIDTH} {(bottom - top) / HEIGHT}"
        )
    return "\n".join(lines).encode()


def make_yolo() -> dict[str, bytes]:
    files = {"data.yaml": b"train: ../images/train\nnc: 2\nnames: [cat, dog]\n"}
    for split, numbers in numbers_by_split().items():
        files |= {f"images/{split}/p{number}.png": draw_image(number) for number in numbers}
        files |= {f"labels/{split}/p{number}.txt": make_yolo_text(objects(number)) for number in numbers}
    return files


LAYOUTS = {"voc": make_voc, "coco": make_coco, "yolo": make_yolo}
