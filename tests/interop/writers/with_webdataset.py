"""Write the scene as shards of WebDataset: `with_webdataset.py FORM FOLDER`."""

import sys
from pathlib import Path

import webdataset
from scene import CLASSES, COUNT, boxes, pixels, split

form, folder = sys.argv[1], Path(sys.argv[2])
folder.mkdir()
for name in ("train", "val"):
    with webdataset.TarWriter(str(folder / f"{name}-000000.tar")) as writer:
        for number in (number for number in range(COUNT) if split(number) == name):
            sample = {"__key__": f"{number:06}", "png": pixels(number)}
            if form == "objects":
                sample["json"] = {"objects": [{"label": label, "box": box} for label, box in boxes(number)]}
            else:
                sample["cls"] = CLASSES.index(boxes(number)[0][0])
            writer.write(sample)
