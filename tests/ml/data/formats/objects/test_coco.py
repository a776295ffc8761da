"""COCO: outlines, masks, crowds, turned boxes, ids, and images that are listed twice."""

import json

import numpy as np
import pytest

from ml.data.dataset import Dataset
from ml.data.formats.objects._boxes import enclose_mask, enclose_turned, enclose_turned_ellipse
from ml.data.issues import DataRejected
from tests.support.ml.dataset_files import codes, count, make_png, make_zip, sample, upload

COUNT = 24
CATEGORIES = [{"id": 0, "name": "cat"}, {"id": 7, "name": "dog"}]
BOX = {"bbox": [2, 3, 10, 8], "category_id": 0}
CORNERS = [2, 3, 12, 11]
POLYGON = [[2, 3, 12, 3, 12, 11, 7, 5, 2, 11]]


def make_content(*annotations, numbers=range(COUNT), categories=CATEGORIES):
    """Return COCO with `annotations` in image 0 and a box in all others."""
    entries = [{"image_id": 0, **annotation} for annotation in annotations]
    entries += [{"image_id": number, **BOX} for number in numbers if number]
    return {
        "images": [{"id": number, "file_name": f"{number}.png"} for number in numbers],
        "categories": categories,
        "annotations": [{"id": row, "iscrowd": 0, **entry} for row, entry in enumerate(entries)],
    }


def import_coco(folder, *contents, **files):
    members = {f"images/{number}.png": make_png(number, side=40) for number in range(COUNT)}
    members |= {
        f"annotations/instances_{row}.json": json.dumps(content).encode() for row, content in enumerate(contents)
    }
    members |= {f"annotations/{name}.json": json.dumps(content).encode() for name, content in files.items()}
    report = upload(folder, {"a.zip": make_zip(members.items())}, task="object_detection")
    if report.state != "ready":
        return report, []
    dataset = Dataset.open(folder / "dataset")
    return report, [row["objects"] for split in report.splits for row in dataset.rows(split)]


def import_first(folder, *annotations, **options):
    """Return the report and the objects that differ from the box of all other images."""
    report, rows = import_coco(folder, make_content(*annotations, **options))
    usual = {"label": "cat", "box": CORNERS}
    return report, [item for row in rows for item in row if item != usual]


@pytest.mark.parametrize("box", [{}, {"bbox": []}, {"bbox": None}, {"bbox": [0, 0, 0, 0]}])
def test_an_outline_without_a_box_is_read_as_the_box_around_it(tmp_path, box):
    outline = [[1, 1, 9, 2, 5, 20], [20, 21, 30, 22, 25, 33]]
    report, objects = import_first(tmp_path, {"category_id": 7, "segmentation": outline, **box})

    assert (report.state, codes(report)) == ("ready", {"outline_as_box", "annotation_parts_not_read"})
    assert objects == [{"label": "dog", "box": [1, 1, 30, 33]}]


def test_unused_annotations_are_counted(tmp_path):
    extra = {"segmentation": POLYGON, "keypoints": [1, 2, 2], "num_keypoints": 1, "track_id": 3}
    extra["attributes"] = {"color": "red", "occluded": False, "rotation": 0.0}
    report, _ = import_first(tmp_path, {**BOX, **extra}, {**BOX, "category_id": 7, "segmentation": POLYGON})

    entry = next(entry for entry in report.errors if entry.code == "annotation_parts_not_read")
    assert (entry.severity, entry.count) == ("warning", 5)
    parts = {"segmentation: 2", "keypoints: 1", "track_id: 1", "attribute color: 1"}
    assert {row["found"] for row in entry.sample} == parts


def compress(lengths):
    """Write run lengths as pycocotools does (common/maskApi.c, rleToString)."""
    text = ""
    for index, length in enumerate(lengths):
        value = length - (lengths[index - 2] if index > 2 else 0)
        while True:
            group = value & 0x1F
            value >>= 5
            is_last = value == (-1 if group & 0x10 else 0)
            text += chr(48 + (group if is_last else group | 0x20))
            if is_last:
                break
    return text


@pytest.mark.parametrize("is_compressed", [False, True])
def test_masks_are_read_as_pycocotools_reads_them(is_compressed):
    masks = pytest.importorskip("pycocotools.mask")
    generator = np.random.default_rng(0)
    for _ in range(40):
        pixels = np.zeros((13, 17), dtype=np.uint8, order="F")
        top, left = generator.integers(0, (8, 12))
        pixels[top : top + generator.integers(1, 6), left : left + generator.integers(1, 6)] = 1
        pixels[generator.random(pixels.shape) < 0.02] = 1
        encoded = masks.encode(pixels)
        x, y, width, height = masks.toBbox(encoded)
        flat = pixels.flatten(order="F")
        runs = np.diff([0, *(np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()), len(flat)]).tolist()
        counts = encoded["counts"].decode() if is_compressed else runs

        assert enclose_mask({"counts": counts, "size": [13, 17]}) == [x, y, x + width, y + height]
        assert compress(runs) == encoded["counts"].decode()


@pytest.mark.parametrize(
    "mask",
    [
        {},
        {"counts": "0", "size": [4]},
        {"counts": [3, 20], "size": [4, 4]},
        {"counts": [3, -1], "size": [4, 4]},
        {"counts": "é", "size": [4, 4]},
        {"counts": "oooooooooooooooo", "size": [4, 4]},
        {"counts": [1.5], "size": [4, 4]},
    ],
)
def test_an_invalid_mask_is_rejected(mask):
    with pytest.raises(DataRejected):
        enclose_mask(mask)


def test_a_mask_without_pixels_has_no_box():
    assert enclose_mask({"counts": [16], "size": [4, 4]}) is None


@pytest.mark.parametrize("size", [40, 1_000_000])
def test_a_mask_of_a_huge_image_takes_no_memory(size):
    assert enclose_mask({"counts": [size, 3], "size": [size, size]}) == [1, 0, 2, 3]


def test_a_crowd_is_marked_and_reported(tmp_path):
    mask = {"counts": [42, 5, 35, 5], "size": [40, 40]}
    crowd = {"category_id": 7, "iscrowd": 1, "segmentation": mask, "bbox": [1, 2, 2, 5]}
    report, objects = import_first(tmp_path, crowd, {**BOX, "category_id": 7})

    assert (report.state, codes(report)) == ("ready", {"objects_as_crowd", "annotation_parts_not_read"})
    assert objects == [
        {"label": "dog", "box": [1, 2, 3, 7], "crowd": True},
        {"label": "dog", "box": CORNERS},
    ]
    assert report.summary.facts["objects"]["crowds"] == 1
    assert report.summary.facts["objects"]["per_class"] == {"cat": COUNT - 1, "dog": 1}


def test_a_class_of_crowds_alone_stays_and_is_reported(tmp_path):
    report, _ = import_first(tmp_path, {"category_id": 7, "iscrowd": 1, "bbox": [1, 2, 2, 5]})

    assert (report.state, report.classes) == ("ready", ["cat", "dog"])
    assert sample(report, "class_of_crowds")["found"] == "dog: 1 crowds, no object"


def test_a_dataset_of_crowds_alone_is_refused_for_detection(tmp_path):
    content = make_content(BOX)
    for entry in content["annotations"]:
        entry["iscrowd"] = 1
    report, _ = import_coco(tmp_path, content)

    assert (report.state, "unfit_for_task" in codes(report)) == ("rejected", True)


BLANK = {"info": {"description": "", "year": ""}, "licenses": [{"name": "", "id": 0, "url": ""}]}


@pytest.mark.parametrize(("extra", "attributes"), [({}, {"attributes": {"occluded": False}}), (BLANK, {})])
def test_masks_that_cvat_and_datumaro_write_as_crowds_are_single_objects(tmp_path, extra, attributes):
    mask = {"counts": [42, 5, 35, 5], "size": [40, 40]}
    painted = {"category_id": 7, "iscrowd": 1, "segmentation": mask, "bbox": [1, 2, 2, 5]}
    content = {**make_content(painted), **extra}
    for entry in content["annotations"]:
        entry.update(attributes)
    report, rows = import_coco(tmp_path, content)

    assert (report.state, report.classes, count(report, "painted_mask_as_object")) == ("ready", ["cat", "dog"], 1)
    assert [{"label": "dog", "box": [1, 2, 3, 7]}] in rows


@pytest.mark.parametrize("outline", [None, [], [[5, 6, 12, 6, 12, 14, 5, 14]]])
def test_a_turned_box_is_read_as_the_box_around_it(tmp_path, outline):
    turned = {"bbox": [5, 6, 7, 8], "category_id": 7, "attributes": {"rotation": 30}, "segmentation": outline}
    report, (first,) = import_first(tmp_path, turned)

    assert "box_turned" in codes(report)
    # Half of 7 cos 30 + 8 sin 30, and of 7 sin 30 + 8 cos 30, about the center 8.5, 10.
    assert first["box"] == pytest.approx([3.4689, 4.7859, 13.5311, 15.2141], abs=1e-4)


def test_an_outline_with_a_rotation_is_not_turned_again(tmp_path):
    report, (first,) = import_first(
        tmp_path, {**BOX, "category_id": 7, "segmentation": POLYGON, "attributes": {"rotation": 30}}
    )

    assert "box_turned" not in codes(report)
    assert first["box"] == CORNERS


def test_turning_by_a_right_angle_swaps_the_sides():
    assert enclose_turned([2, 3, 12, 7], 90) == pytest.approx([5, 0, 9, 10])
    assert enclose_turned([2, 3, 12, 7], 90, about=(2, 3)) == pytest.approx([-2, 3, 2, 13])
    assert enclose_turned([2, 3, 12, 7], -90, about=(2, 3)) == pytest.approx([2, -7, 6, 3])
    assert enclose_turned_ellipse((5, 6), (3, 1), 90) == pytest.approx([4, 3, 6, 9])


@pytest.mark.parametrize("to_id", [str, float, lambda number: f"image-{number}", lambda number: number])
def test_ids_may_be_text_or_numbers_of_any_form(tmp_path, to_id):
    content = make_content({**BOX, "category_id": 7})
    for entry in content["images"]:
        entry["id"] = to_id(entry["id"])
    for entry in content["annotations"]:
        number = entry["image_id"]
        entry["image_id"] = number if to_id in (str, float) else to_id(number)
    report, rows = import_coco(tmp_path, content)

    assert (report.state, codes(report)) == ("ready", set())
    assert all(len(row) == 1 for row in rows)


def test_annotation_ids_that_occur_twice_are_reported_and_lose_nothing(tmp_path):
    content = make_content({**BOX, "category_id": 7})
    for entry in content["annotations"]:
        entry["id"] = 1
    report, rows = import_coco(tmp_path, content)

    assert (report.state, count(report, "annotation_ids_twice")) == ("ready", COUNT - 1)
    assert sum(map(len, rows)) == COUNT


def test_an_image_listed_twice_has_the_objects_of_both_entries(tmp_path):
    content = make_content({**BOX, "category_id": 7})
    content["images"].append({"id": 99, "file_name": "0.png"})
    content["annotations"].append({"id": 99, "image_id": 99, "category_id": 0, "bbox": [20, 20, 5, 5], "iscrowd": 0})
    report, rows = import_coco(tmp_path, content)

    assert (report.state, codes(report)) == ("ready", {"image_listed_twice"})
    assert [{"label": "dog", "box": CORNERS}, {"label": "cat", "box": [20, 20, 25, 25]}] in rows


def test_an_image_in_two_files_has_the_objects_of_both(tmp_path):
    second = make_content(numbers=[0])
    second["annotations"] = [{"id": 1, "image_id": 0, "category_id": 7, "bbox": [20, 20, 5, 5]}]
    report, rows = import_coco(tmp_path, make_content(BOX), second)

    assert (report.state, codes(report)) == ("ready", {"image_listed_twice"})
    assert [{"label": "cat", "box": CORNERS}, {"label": "dog", "box": [20, 20, 25, 25]}] in rows


def test_captions_and_panoptic_segments_beside_the_objects_are_reported(tmp_path):
    captions = {"images": [], "annotations": [{"id": 1, "image_id": 0, "caption": "a cat"}]}
    panoptic = {"images": [], "categories": [], "annotations": [{"image_id": 0, "segments_info": []}]}
    report, _ = import_coco(tmp_path, make_content(BOX), captions=captions, panoptic=panoptic)

    assert (report.state, count(report, "file_ignored")) == ("ready", 2)


def test_files_of_whole_scenes_beside_instances_add_nothing(tmp_path):
    content = make_content(BOX)
    report, rows = import_coco(tmp_path, content, stuff_train=content, image_info_train=content)

    assert (report.state, codes(report)) == ("ready", {"file_ignored"})
    assert all(len(row) == 1 for row in rows)


def test_files_of_any_name_are_recognized_by_their_sections(tmp_path):
    members = {f"images/{number}.png": make_png(number, side=40) for number in range(COUNT)}
    for split, numbers in (("train", range(16)), ("val", range(16, COUNT))):
        content = make_content(*([BOX] if split == "train" else []), numbers=numbers)
        members[f"annotations/{split}.json"] = json.dumps(content).encode()
    report = upload(tmp_path, {"a.zip": make_zip(members.items())})

    assert (report.state, report.guess.task, report.splits["validation"]) == ("ready", "object_detection", 8)
