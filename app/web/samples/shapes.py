"""Shapes: drawings of circles, squares and triangles with their boxes, as COCO."""

from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING, Any, Final

from app.web.samples.base import SampleData, split_of

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

    from app.web.samples.base import Files

IMAGES: Final = 240
SIDE: Final = 96
SEED: Final = 7
NAMES: Final = ("circle", "square", "triangle")
_INKS: Final = ("#9c4321", "#2f6690", "#3f7d4e", "#7b4ea3", "#8a6d00")

Box = tuple[int, int, int, int]


def _overlaps(box: Box, others: list[Box]) -> bool:
    left, top, size, _ = box
    return any(
        left < item[0] + item[2] and item[0] < left + size and top < item[1] + item[3] and item[1] < top + size
        for item in others
    )


def _draw(draw: ImageDraw, name: str, box: Box, ink: str) -> None:
    left, top, width, height = box
    corners = (left, top, left + width - 1, top + height - 1)
    match name:
        case "circle":
            draw.ellipse(corners, fill=ink)
        case "square":
            draw.rectangle(corners, fill=ink)
        case _:
            draw.polygon([(left, corners[3]), (left + width // 2, top), (corners[2], corners[3])], fill=ink)


def _image(random_state: random.Random) -> tuple[bytes, list[tuple[str, Box]]]:
    from PIL import Image, ImageDraw

    shade = random_state.randint(225, 250)
    image = Image.new("RGB", (SIDE, SIDE), (shade, shade - 3, shade - 8))
    draw = ImageDraw.Draw(image)
    objects: list[tuple[str, Box]] = []
    for _ in range(random_state.randint(1, 3)):
        size = random_state.randint(18, 34)
        box = (random_state.randint(2, SIDE - size - 2), random_state.randint(2, SIDE - size - 2), size, size)
        if not _overlaps(box, [placed for _, placed in objects]):
            name = random_state.choice(NAMES)
            _draw(draw, name, box, random_state.choice(_INKS))
            objects.append((name, box))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue(), objects


def _files() -> Files:
    random_state = random.Random(SEED)
    documents: dict[str, dict[str, Any]] = {
        split: {
            "images": [],
            "annotations": [],
            "categories": [{"id": number, "name": name} for number, name in enumerate(NAMES, 1)],
        }
        for split in ("train", "test")
    }
    for number in range(IMAGES):
        split = split_of(number)
        content, objects = _image(random_state)
        yield f"{split}/{number:03}.png", content
        image = {"id": number, "file_name": f"{number:03}.png", "width": SIDE, "height": SIDE}
        documents[split]["images"].append(image)
        for name, box in objects:
            annotation = {
                "id": len(documents[split]["annotations"]) + 1,
                "image_id": number,
                "category_id": NAMES.index(name) + 1,
                "bbox": list(box),
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            documents[split]["annotations"].append(annotation)
    for split, document in documents.items():
        yield f"{split}/_annotations.coco.json", json.dumps(document).encode()


SAMPLE = SampleData(
    title="Shapes",
    summary="240 drawings of circles, squares and triangles. Learns to find them and to draw a box around each.",
    task="object_detection",
    sketch="M8 8h20v20h-20zM48 30a9 9 0 1 0-.1 0zM36 6h24v27h-24z",
    place=3,
    files=_files,
)
