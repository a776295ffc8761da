"""Each field that a format of objects defines is used, or reported with its count."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.ml.format_walks import Files, Walk, check_walks
from tests.support.ml.object_uploads import COUNT, HEIGHT, WIDTH, draw

#: Box around 5, 6, 15, 18.
CORNERS = (5, 6, 15, 18)


def images(name: str = "images/{}.png") -> dict[str, bytes]:
    return {name.format(number): draw(number) for number in range(COUNT)}


def beside_images(suffix: str, content: Callable[[int], str], *, folder: str = "images") -> dict[str, bytes]:
    return {f"{folder}/{number}{suffix}": content(number).encode() for number in range(COUNT)}


def json_fields(*names: str) -> dict[str, tuple[str, str]]:
    """Return reported fields of JSON, of which no other value is tried."""
    return {name: (f'"{name}"', f'"{name}2"') for name in names}


def xml_fields(*names: str) -> dict[str, tuple[str, str]]:
    return {name: (f"<{name}>", f"<{name}>2") for name in names}


def as_coco() -> Files:
    annotations = [
        {
            "id": number, "image_id": number, "category_id": 10 + number % 2, "bbox": [5, 6, 10, 12], "area": 120,
            "segmentation": [[5, 6, 15, 6, 15, 18]], "iscrowd": 0, "keypoints": [5, 6, 2], "num_keypoints": 1,
            "track_id": 4, "score": 0.5, "caption": "a cat", "attributes": {"color": "red", "occluded": True},
        }
        for number in range(COUNT)
    ]  # fmt: skip
    content: dict[str, Any] = {
        "info": {"year": 2024, "description": "cats"},
        "licenses": [{"id": 1, "name": "CC BY"}],
        "images": [
            {
                "id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT, "license": 1,
                "coco_url": "u", "flickr_url": "u", "date_captured": "2024", "neg_category_ids": [3],
            }
            for number in range(COUNT)
        ],
        "categories": [
            {"id": 10 + code, "name": name, "supercategory": "animal", "keypoints": ["nose"], "skeleton": [[1, 1]]}
            for code, name in enumerate(("cat", "dog"))
        ],
        "annotations": annotations,
    }  # fmt: skip
    return {**images(), "instances.json": json.dumps(content).encode()}


def as_cvat() -> Files:
    shape = (
        '<box label="cat" source="manual" occluded="1" xtl="5" ytl="6" xbr="15" ybr="18" z_order="2" group_id="7">'
        '<attribute name="color">red</attribute></box><points label="dog" points="1,2"/>'
    )
    records = "".join(
        f'<image id="{number}" name="{number}.png" width="40" height="30" task_id="8" '
        f'subset="{"Train" if number < 16 else "Test"}">{shape}</image>'
        for number in range(COUNT)
    )
    xml = f"<annotations><version>1.1</version><meta><job><id>3</id></job></meta>{records}</annotations>"
    return {**images(), "annotations.xml": xml.encode()}


def as_datumaro() -> Files:
    items = [
        {
            "id": str(number), "attr": {"frame": number}, "image": {"path": f"{number}.png", "size": [HEIGHT, WIDTH]},
            "annotations": [
                {
                    "id": 5, "type": "bbox", "label_id": number % 2, "bbox": [5, 6, 10, 12], "group": 6, "z_order": 2,
                    "object_id": 9, "attributes": {"color": "red", "occluded": True},
                },
                {"id": 6, "type": "caption", "caption": "a cat"},
            ],
        }
        for number in range(COUNT)
    ]  # fmt: skip
    labels = {"labels": [{"name": "cat", "parent": "animal"}, {"name": "dog"}], "label_groups": [{"name": "pets"}]}
    categories = {"label": {**labels, "attributes": ["color"]}, "mask": {"colormap": [1]}}
    content = {"dm_format_version": "1.0", "media_type": 2, "infos": {"author": "a"}, "categories": categories}
    return {**images(), "train.json": json.dumps({**content, "items": items}).encode()}


def as_image_objects() -> Files:
    def content(number: int) -> str:
        item = {"label": "cat", "box": CORNERS, "crowd": number == 3, "score": 0.5, "color": "red", "mask": "m"}
        return json.dumps({"objects": [item], "width": WIDTH, "height": HEIGHT, "caption": "a cat", "key": "k"})

    return {**images(), **beside_images(".json", content)}


def as_kitti() -> Files:
    def content(number: int) -> str:
        return "Car 0.25 2 1.75 5.0 6.0 15.0 18.0 1.5 1.6 3.7 1.8 1.9 20.1 0.3 0.95\n"

    return {**images("image_2/{}.png"), **beside_images(".txt", content, folder="label_2")}


def as_label_studio() -> Files:
    region = {
        "id": "r", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "origin": "manual",
        "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 90, "score": 0.5, "meta": {"text": ["x"]},
        "value": {"x": 10, "y": 20, "width": 25, "height": 40, "rotation": 0, "rectanglelabels": ["cat", "dog"]},
    }  # fmt: skip
    tasks = [
        {
            "id": number, "data": {"image": f"/data/upload/1/{number}.png", "weather": "sunny"}, "meta": {"a": 1},
            "created_at": "2024", "updated_at": "2024", "project": 1, "inner_id": 2, "total_annotations": 1,
            "comment_count": 1, "updated_by": 1, "predictions": [{"result": [region]}], "drafts": [{"result": []}],
            "annotations": [
                {
                    "id": number, "completed_by": 1, "result": [region], "was_cancelled": False, "lead_time": 3.5,
                    "created_at": "2024", "unique_id": "u", "last_action": "submitted", "result_count": 1,
                }
            ],
        }
        for number in range(COUNT)
    ]  # fmt: skip
    return {**images(), "export.json": json.dumps(tasks).encode()}


def as_labelme() -> Files:
    def content(number: int) -> str:
        shape = {
            "label": "cat", "shape_type": "rectangle", "points": [[5, 6], [15, 18]], "group_id": None,
            "description": "sits", "difficult": True, "attributes": {"color": "red"}, "flags": {"blurred": True},
        }  # fmt: skip
        other = {"label": "cat", "shape_type": "rectangle", "points": [[20, 2], [25, 5]], "group_id": None}
        texts = {"version": "5.4", "text": "note", "flags": {"night": True}, "imagePath": f"{number}.png"}
        return json.dumps({**texts, "imageWidth": WIDTH, "imageHeight": HEIGHT, "shapes": [shape, other]})

    return {**images(), **beside_images(".json", content)}


def as_early_labelme() -> Files:
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((5, 6), (15, 6), (15, 18), (5, 18)))

    def content(number: int) -> str:
        return (
            f"<annotation><filename>{number}.png</filename><folder>images</folder>"
            "<source><sourceImage>camera</sourceImage><sourceAnnotation>LabelMe</sourceAnnotation></source>"
            "<object><name>cat</name><deleted>0</deleted><verified>1</verified><occluded>yes</occluded>"
            "<attributes>red</attributes><parts><hasparts>2</hasparts></parts><date>2024</date><id>4</id>"
            f"<polygon><username>ann</username>{points}</polygon></object>"
            "<imagesize><nrows>30</nrows><ncols>40</ncols></imagesize></annotation>"
        )

    return {**images(), **beside_images(".xml", content)}


def as_open_images() -> Files:
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
    marks = "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside,XClick1X"
    rows = [f"{number},xclick,/m/{number % 2},1,0.1,0.6,0.2,0.8,1,1,0,1,1,0.4" for number in range(COUNT)]
    table = "\n".join([f"{header},{marks}", *rows]).encode()
    return {**images(), "boxes.csv": table, "class-descriptions.csv": b"/m/0,Cat\n/m/1,Dog\n", "images.csv": b"a,b\n"}


def as_via() -> Files:
    region = {
        "shape_attributes": {"name": "rect", "x": 5, "y": 6, "width": 10, "height": 12},
        "region_attributes": {"class": "cat", "color": "red"},
    }
    point = {"shape_attributes": {"name": "point", "cx": 1, "cy": 2}, "region_attributes": {"class": "dog"}}
    entries = {
        f"{number}.png9": {
            "filename": f"{number}.png", "size": 9, "regions": [region, point], "file_attributes": {"caption": "cats"},
        }
        for number in range(COUNT)
    }  # fmt: skip
    settings = {"_via_settings": {"ui": 1}, "_via_attributes": {"region": {}}, "_via_data_format_version": "2.0.10"}
    content = {**settings, "_via_img_metadata": entries, "_via_image_id_list": list(entries)}
    return {**images(), "via_project.json": json.dumps(content).encode()}


def as_voc() -> Files:
    def content(number: int) -> str:
        corners = zip(("xmin", "ymin", "xmax", "ymax"), CORNERS, strict=True)
        box = "".join(f"<{name}>{value}</{name}>" for name, value in corners)
        return (
            f"<annotation><folder>images</folder><filename>{number}.png</filename><path>C:/x.png</path>"
            "<source><database>The VOC2007 Database</database><annotation>PASCAL VOC2007</annotation>"
            "<image>flickr</image><flickrid>3</flickrid></source><owner><name>ann</name></owner>"
            "<size><width>40</width><height>30</height><depth>3</depth></size><segmented>1</segmented>"
            "<object><name>cat</name><pose>Left</pose><truncated>1</truncated><difficult>1</difficult>"
            f"<occluded>1</occluded><bndbox>{box}</bndbox><part><name>head</name></part>"
            "<point><x>1</x></point><actions><jumping>1</jumping></actions></object></annotation>"
        )

    lists = {"ImageSets/Main/train.txt": "\n".join(map(str, range(16))), "ImageSets/Main/val.txt": "16\n17\n18"}
    files = {**images("JPEGImages/{}.png"), **beside_images(".xml", content, folder="Annotations")}
    return {**files, **{name: text.encode() for name, text in lists.items()}}


def as_yolo() -> Files:
    settings = (
        "path: /data\ntrain: images/train\nval: images/val\nnc: 3\nnames: [cat, dog]\nflip_idx: [0, 1]\n"
        "download: script\nroboflow: {version: 1}\n"
    )
    files = {
        f"images/{'train' if number < 16 else 'val'}/{number}.png": content
        for number, content in enumerate(images().values())
    }
    texts = {file.replace("images", "labels").replace(".png", ".txt"): b"0 0.25 0.4 0.25 0.4 0.875\n" for file in files}
    return {**files, **texts, "data.yaml": settings.encode()}


WALKS = {
    "coco": [
        Walk(
            as_coco,
            {
                **json_fields("info", "licenses", "license", "coco_url", "flickr_url", "date_captured"),
                **json_fields("neg_category_ids", "supercategory", "skeleton", "area", "segmentation", "num_keypoints"),
                **json_fields("track_id", "score", "caption", "color", "occluded"),
                "categories.keypoints": ("nose", "ear"), "keypoints": ("[5, 6, 2]", "[5, 6, 1]"),
                "iscrowd": ('"iscrowd": 0', '"iscrowd": 1'), "name": ('"dog"', '"fox"'),
                "file_name": ('"3.png"', '"x.png"'), "bbox": ("[5, 6, 10", "[5, 7, 10"),
                "image_id": ('"image_id": 3,', '"image_id": 4,'), "width": ('"width": 40', '"width": 41'),
                "category_id": ('"category_id": 11', '"category_id": 10'),
            },
            is_packed=True,
        )
    ],
    "cvat": [
        Walk(
            as_cvat,
            {
                **{name: (name, f"{name}2") for name in ("meta", "source", "occluded", "z_order", "group_id")},
                **{name: (name, f"{name}2") for name in ("task_id", "points", "color")},
                "image.id": (' id="', ' id="1'),
                "label": ('"cat"', '"fox"'), "xtl": ('xtl="5"', 'xtl="4"'), "subset": ('"Test"', '"Val"'),
                "name": ('"3.png"', '"x.png"'), "width": ('width="40"', 'width="41"'),
            },
            is_packed=True,
        )
    ],
    "datumaro": [
        Walk(
            as_datumaro,
            {
                **json_fields("dm_format_version", "media_type", "infos", "mask", "attr", "group", "z_order"),
                **json_fields("object_id", "caption", "color", "occluded", "parent", "label_groups"),
                "annotations.id": ('"id": 5', '"id": 7'), "label.attributes": ('["color"]', '["size"]'),
                "label_id": ('"label_id": 1', '"label_id": 0'), "bbox": ("[5, 6, 10", "[5, 7, 10"),
                "size": ("[30, 40]", "[31, 40]"), "path": ('"3.png"', '"4.png"'),
            },
            is_packed=True,
        )
    ],
    "image_objects": [
        Walk(
            as_image_objects,
            {
                **json_fields("score", "color", "mask", "caption", "key"), "label": ('"cat"', '"fox"'),
                "box": ("[5, 6", "[4, 6"), "crowd": ('"crowd": false', '"crowd": true'),
                "width": ('"width": 40', '"width": 41'),
            },
            is_packed=True,
        )
    ],
    "kitti": [
        Walk(
            as_kitti,
            {
                "type": ("Car", "Van"), "truncated": (" 0.25 ", " 0.5 "), "occluded": (" 2 ", " 1 "),
                "alpha": (" 1.75 ", " 1.5 "), "box": (" 5.0 ", " 4.0 "), "box in space": ("20.1", "20.2"),
                "score": ("0.95", "0.9"),
            },
            is_packed=True,
        )
    ],
    "label_studio": [
        Walk(
            as_label_studio,
            {
                **json_fields("from_name", "to_name", "origin", "image_rotation", "score", "meta", "weather"),
                **json_fields("created_at", "project", "inner_id", "total_annotations", "comment_count", "updated_by"),
                **json_fields("predictions", "drafts", "completed_by", "lead_time", "unique_id", "last_action"),
                **json_fields("result_count"), "further labels": ('"dog"', '"fox"'), "label": ('"cat"', '"fox"'),
                "was_cancelled": ('"was_cancelled": false', '"was_cancelled": true'), "x": ('"x": 10', '"x": 11'),
                "original_width": ('"original_width": 40', '"original_width": 41'), "rotation": ("n\": 0", "n\": 5"),
            },
            is_packed=True,
        )
    ],
    "labelme": [
        Walk(
            as_labelme,
            {
                **json_fields("version", "text", "description", "difficult", "attributes", "blurred", "night"),
                "label": ('"cat"', '"fox"'), "points": ("[[5, 6]", "[[4, 6]"), "group_id": ("null", "1"),
                "imagePath": ('"3.png"', '"4.png"'), "imageWidth": ('Width": 40', 'Width": 41'),
                "shape_type": ('"rectangle"', '"circle"'),
            },
            is_packed=True,
        ),
        Walk(
            as_early_labelme,
            {
                **xml_fields("source", "verified", "occluded", "attributes", "parts", "date", "id"),
                "username": ("ann", "bob"), "name": ("cat", "fox"), "deleted": ("<deleted>0", "<deleted>1"),
                "polygon": ("<x>5<", "<x>4<"), "imagesize": ("<ncols>40", "<ncols>41"),
                "filename": ("<filename>3.png", "<filename>4.png"),
            },
            is_packed=True,
        ),
    ],
    "open_images": [
        Walk(
            as_open_images,
            {
                **{name: (name, name) for name in ("Source", "Confidence", "IsOccluded", "IsTruncated", "IsDepiction")},
                **{name: (name, name) for name in ("IsInside", "XClick1X")}, "images.csv": ("a,b", "c,d"),
                "LabelName": ("/m/1,1", "/m/0,1"), "XMin": (",0.1,", ",0.15,"), "IsGroupOf": ("1,1,0,", "1,1,1,"),
                "class-descriptions": ("Dog", "Fox"),
            },
            is_packed=True,
        )
    ],
    "via": [
        Walk(
            as_via,
            {
                **json_fields("_via_settings", "_via_attributes", "_via_data_format_version", "_via_image_id_list"),
                **json_fields("size", "color", "caption", "point"), "filename": ('"3.png"', '"x.png"'),
                "shape_attributes": ('"x": 5', '"x": 4'), "region_attributes": ('"cat"', '"fox"'),
            },
            is_packed=True,
        )
    ],
    "voc": [
        Walk(
            as_voc,
            {
                **xml_fields("path", "image", "flickrid", "owner", "depth", "segmented", "pose", "truncated"),
                **xml_fields("difficult", "occluded", "part", "point", "actions"), "name": ("cat", "fox"),
                "bndbox": ("<xmin>5", "<xmin>4"), "database": ("VOC2007", "mine"), "size": ("<width>40", "<width>41"),
                "ImageSets/Main": ("16\n17", "19\n17"),
            },
            is_packed=True,
        )
    ],
    "yolo": [
        Walk(
            as_yolo,
            {
                **{name: (name, f"{name}2") for name in ("path", "nc", "flip_idx", "download", "roboflow")},
                "names": ("cat", "fox"), "box": ("0 0.25", "0 0.3"), "class": ("0 0.25", "1 0.25"),
                "confidence": ("0.875", "0.75"), "val": ("images/val\n", "images/train\n"),
            },
            is_packed=True,
        )
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", WALKS)
def test_every_field_of_a_format_is_used_or_reported_with_its_count(tmp_path: Path, name: str) -> None:
    check_walks(tmp_path, name, WALKS[name])
