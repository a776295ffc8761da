"""Convert the scene as Label Studio stores it: `with_label_studio.py FORM FOLDER`."""

import json
import sys
from pathlib import Path

from label_studio_sdk.converter import Converter
from PIL import Image
from scene import CLASSES, COUNT, HEIGHT, WIDTH, boxes, pixels

form, folder = sys.argv[1], Path(sys.argv[2])
labels = "".join(f'<Label value="{name}"/>' for name in CLASSES)
regions = f'<RectangleLabels name="label" toName="image">{labels}</RectangleLabels>'
config = f'<View><Image name="image" value="$image"/>{regions}</View>'


def region(number, index, label, box):
    left, top, right, bottom = box
    value = {"x": 100 * left / WIDTH, "y": 100 * top / HEIGHT, "rotation": 0, "rectanglelabels": [label]}
    value |= {"width": 100 * (right - left) / WIDTH, "height": 100 * (bottom - top) / HEIGHT}
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    names = {"from_name": "label", "to_name": "image", "type": "rectanglelabels", "id": f"{number}-{index}"}
    return {**size, **names, "value": value}


def task(number):
    regions = [region(number, index, *annotated) for index, annotated in enumerate(boxes(number))]
    annotation = {
        "id": number + 1,
        "completed_by": 1,
        "result": regions,
        "was_cancelled": False,
        "created_at": "2026-01-01T00:00:00Z",
    }
    return {
        "id": number + 1,
        "data": {"image": f"/data/upload/1/0a1b2c3d-{number}.png"},
        "annotations": [annotation],
        "project": 1,
    }


exported = folder.parent / "tasks"
exported.mkdir()
(exported / "tasks.json").write_text(json.dumps([task(number) for number in range(COUNT)]))
Converter(config, project_dir=None, download_resources=False).convert(str(exported), str(folder), form, is_dir=True)
(folder / "images").mkdir(exist_ok=True)
for number in range(COUNT):
    Image.fromarray(pixels(number)).save(folder / "images" / f"0a1b2c3d-{number}.png")
