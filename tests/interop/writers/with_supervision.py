"""Write the scene with supervision: `with_supervision.py FORM FOLDER`."""

import sys
from pathlib import Path

import cv2
import numpy as np
import supervision
from scene import CLASSES, COUNT, boxes, pixels, split

form, folder = sys.argv[1], Path(sys.argv[2])
for name in ("train", "val"):
    target = folder / name
    source = folder.parent / "source" / name
    source.mkdir(parents=True)
    annotations = {}
    for number in (number for number in range(COUNT) if split(number) == name):
        path = str(source / f"{number}.png")
        cv2.imwrite(path, pixels(number))
        labels, corners = zip(*boxes(number), strict=True)
        codes = np.array([CLASSES.index(label) for label in labels])
        annotations[path] = supervision.Detections(xyxy=np.array(corners, dtype=float), class_id=codes)
    dataset = supervision.DetectionDataset(list(CLASSES), list(annotations), annotations)
    images = str(target / "images")
    if form == "voc":
        dataset.as_pascal_voc(images_directory_path=images, annotations_directory_path=str(target / "annotations"))
    elif form == "coco":
        dataset.as_coco(images_directory_path=images, annotations_path=str(target / "annotations.json"))
    else:
        labels_folder = str(target / "labels")
        data = str(folder / "data.yaml")
        dataset.as_yolo(images_directory_path=images, annotations_directory_path=labels_folder, data_yaml_path=data)
