"""Tiny ImageNet, results for COCO, and lists beside images."""

import json
from pathlib import Path

import pytest

from tests.support.ml.dataset_files import codes, encode_image, make_images, make_zip, sample, upload

IMAGES = [encode_image(image) for image in make_images(60, side=8, channels=3)]
IDS = ("n01443537", "n02124075")


def tiny_imagenet() -> list[tuple[str, bytes]]:
    annotations = "".join(f"val_{row}.JPEG\t{IDS[row % 2]}\t0\t0\t5\t5\n" for row in range(10))
    members = [
        ("tiny/wnids.txt", "\n".join(IDS).encode()),
        ("tiny/words.txt", b"n01443537\tgoldfish, Carassius auratus\nn02124075\tEgyptian cat\nn0\tthing\n"),
        ("tiny/val/val_annotations.txt", annotations.encode()),
    ]
    for number, name in enumerate(IDS):
        boxes = "".join(f"{name}_{row}.JPEG\t0\t0\t5\t5\n" for row in range(20))
        members.append((f"tiny/train/{name}/{name}_boxes.txt", boxes.encode()))
        members += [(f"tiny/train/{name}/images/{name}_{row}.JPEG", IMAGES[number * 20 + row]) for row in range(20)]
    members += [(f"tiny/val/images/val_{row}.JPEG", IMAGES[40 + row]) for row in range(10)]
    return [*members, *((f"tiny/test/images/test_{row}.JPEG", IMAGES[50 + row]) for row in range(10))]


@pytest.mark.parametrize("task", [None, "image_classification"])
def test_tiny_imagenet_is_read_with_its_names_and_splits(tmp_path: Path, task: str | None) -> None:
    report = upload(tmp_path, {"tiny.zip": make_zip(tiny_imagenet())}, task=task)

    assert (report.state, report.classes) == ("ready", ["Egyptian cat", "goldfish"])
    assert (report.accepted, report.splits["validation"]) == (50, 10)
    assert codes(report) == {"split_without_labels", "file_ignored"}


def test_boxes_of_tiny_imagenet_are_refused_by_name(tmp_path: Path) -> None:
    report = upload(tmp_path, {"tiny.zip": make_zip(tiny_imagenet())}, task="object_detection")

    assert (report.state, codes(report)) == ("rejected", {"content_not_read"})


DETECTIONS = json.dumps([{"image_id": row, "category_id": 1, "bbox": [1, 1, 4, 4], "score": 0.9} for row in range(40)])
CAPTIONS = json.dumps([{"image_id": row, "caption": f"a caption {row}"} for row in range(40)])
PICTURES = [(f"val2017/{row}.png", IMAGES[row]) for row in range(40)]


def captions() -> bytes:
    entries = [{"id": row, "file_name": f"{row}.png"} for row in range(40)]
    annotations = [{"id": row, "image_id": row, "caption": f"a person {row}"} for row in range(40)]
    return json.dumps({"images": entries, "annotations": annotations}).encode()


def coco(**annotation: object) -> bytes:
    entries = [{"id": row, "file_name": f"{row}.png", "width": 8, "height": 8} for row in range(40)]
    annotations = [{"id": row + 1, "image_id": row, "category_id": 1, **annotation} for row in range(40)]
    document = {"images": entries, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    return json.dumps(document).encode()


@pytest.mark.parametrize("results", [DETECTIONS, CAPTIONS])
@pytest.mark.parametrize("packing", ["loose", "zip", "alone"])
@pytest.mark.parametrize("task", [None, "object_detection"])
def test_results_for_coco_are_refused_by_name(tmp_path: Path, results: str, packing: str, task: str | None) -> None:
    files = {"results.json": results.encode()}
    if packing == "zip":
        files = {"a.zip": make_zip([*PICTURES, *files.items()])}
    elif packing == "loose":
        files["images.zip"] = make_zip(PICTURES)
    report = upload(tmp_path, files, task=task)

    assert report.state == "rejected"
    assert sample(report, "content_not_read")["found"] == "COCO results, without ground truth"


def test_results_beside_annotations_are_left_out(tmp_path: Path) -> None:
    members = [*PICTURES, ("instances.json", coco(bbox=[1, 1, 4, 4])), ("results.json", DETECTIONS.encode())]
    report = upload(tmp_path, {"a.zip": make_zip(members)})

    assert (report.state, report.classes) == ("ready", ["person"])
    assert sample(report, "list_not_learned")["file"] == "a.zip/results.json"


@pytest.mark.parametrize("is_loose", [False, True])
def test_objects_go_before_captions_of_the_same_images(tmp_path: Path, is_loose: bool) -> None:
    files = {
        "captions_val2017.json": captions(),
        "person_keypoints_val2017.json": coco(bbox=[1, 1, 4, 4], keypoints=[2, 2, 2], num_keypoints=1),
    }
    archives = {"a.zip": make_zip(PICTURES if is_loose else [*PICTURES, *files.items()])}
    report = upload(tmp_path, {**archives, **(files if is_loose else {})})

    assert (report.state, report.guess.task if report.guess else None) == ("ready", "object_detection")
    assert "image_text_matching" in sample(report, "file_ignored")["expected"]


def chest_xray(findings: tuple[str, ...]) -> dict[str, bytes]:
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,OriginalImage[Width,Height],"
    rows = [f"{row:08}_000.png,{findings[row % len(findings)]},0,{row // 2},2682,2749," for row in range(60)]
    boxes = ["Image Index,Finding Label,Bbox [x,y,w,h],,,", *(f"{row:08}_000.png,Mass,1,1,3,3,,," for row in range(5))]
    names = [f"{row:08}_000.png" for row in range(60)]
    lists = {"train_val_list.txt": names[:45], "test_list.txt": names[45:]}
    members = [
        *((f"images_001/images/{name}", image) for name, image in zip(names, IMAGES, strict=True)),
        ("Data_Entry_2017.csv", "\n".join([header, *rows, ""]).encode()),
        ("BBox_List_2017.csv", "\n".join([*boxes, ""]).encode()),
        *((name, "\n".join(listed).encode()) for name, listed in lists.items()),
    ]
    return {"a.zip": make_zip(members)}


def test_a_list_of_findings_is_read_with_its_splits(tmp_path: Path) -> None:
    report = upload(tmp_path, chest_xray(("No Finding", "Mass", "Effusion")))

    assert (report.state, report.classes) == ("ready", ["Effusion", "Mass", "No Finding"])
    assert (report.accepted, report.splits["test"]) == (60, 15)
    assert sample(report, "file_ignored")["file"] == "a.zip/BBox_List_2017.csv"


def test_several_findings_of_an_image_are_refused_by_name(tmp_path: Path) -> None:
    report = upload(tmp_path, chest_xray(("No Finding", "Mass|Effusion", "Mass", "Effusion")))

    assert (report.state, report.rows) == ("rejected", 60)
    assert (sample(report, "label_not_plain")["found"], sample(report, "label_not_plain")["row"]) == (
        "Mass|Effusion",
        2,
    )


def test_images_with_several_findings_may_be_left_out(tmp_path: Path) -> None:
    files = chest_xray(("No Finding", "Mass|Effusion", "Mass", "Effusion"))
    report = upload(tmp_path, files, leaves_out_bad_rows=True)

    assert (report.state, report.accepted, report.classes) == ("ready", 45, ["Effusion", "Mass", "No Finding"])


def test_partitions_of_celeba_are_splits_and_no_classes(tmp_path: Path) -> None:
    partition = "".join(f"{row:06}.jpg {0 if row < 40 else 2}\n" for row in range(60))
    images = [(f"img_align_celeba/{row:06}.jpg", image) for row, image in enumerate(IMAGES)]
    report = upload(tmp_path, {"a.zip": make_zip([*images, ("list_eval_partition.txt", partition.encode())])})

    assert (report.classes, report.splits["test"]) == (None, 20)


def test_a_table_of_via_is_refused_by_name(tmp_path: Path) -> None:
    header = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
    rows = "".join(f'{row}.png,99,"{{}}",1,0,"{{""name"":""rect""}}","{{""class"":""cat""}}"\n' for row in range(40))
    table = ("via_export_csv.csv", (header + rows).encode())
    report = upload(tmp_path, {"a.zip": make_zip([*PICTURES, table])})

    assert (report.state, sample(report, "content_not_read")["found"]) == ("rejected", "a table of VIA")


OTHER_FORMATS = {
    "CreateML": ("_annotations.createml.json", '[{"image": "0.png", "annotations": [{"coordinates": {"x": 3}}]}]'),
    "BDD100K": ("det_train.json", '[{"name": "0.png", "attributes": {"weather": "clear"}, "labels": []}]'),
    "Supervisely": ("ann/0.png.json", '{"size": {"width": 8}, "objects": [{"classTitle": "cat"}]}'),
    "DOTA": ("labelTxt/0.txt", "imagesource:GoogleEarth\ngsd:0.1\n1 1 5 1 5 5 1 5 plane 0\n"),
    "VisDrone": ("annotations/0.txt", "1,1,4,4,1,4,0,0\n2,2,3,3,0,0,0,0\n"),
    "WIDER FACE": ("split/train_bbx_gt.txt", "0.jpg\n1\n1 1 4 4 0 0 0 0 0 0\n"),
    "CrowdHuman": ("annotation_train.odgt", '{"ID": "0", "gtboxes": []}'),
    "a list of images with boxes, as keras-yolo3 and YOLOv4 have it": ("train.txt", "0.jpg 1,1,4,4,0 2,2,3,3,1\n"),
    "RetinaNet's CSV without names of columns": ("_annotations.csv", "0.jpg,1,1,4,4,cat\n"),
    "MOT": ("MOT17-02/gt/gt.txt", "1,1,1,1,4,4,1,1,1\n"),
}  # fmt: skip


@pytest.mark.parametrize("task", [None, "object_detection"])
@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_objects_in_formats_that_are_not_read_are_refused_by_name(tmp_path: Path, name: str, task: str | None) -> None:
    file, content = OTHER_FORMATS[name]
    report = upload(tmp_path, {"a.zip": make_zip([*PICTURES, (file, content.encode())])}, task=task)

    assert (report.state, codes(report)) == ("rejected", {"content_not_read"})
    assert sample(report, "content_not_read")["found"] == name


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Labelbox", '{"data_row": {"external_id": "0.png"}}'),
        ("SageMaker Ground Truth", '{"source-ref": "s3://a/0.png"}'),
    ],
)
def test_exports_of_services_are_refused_by_name(tmp_path: Path, name: str, line: str) -> None:
    report = upload(tmp_path, {"a.zip": make_zip(PICTURES), "export.ndjson": f"{line}\n".encode()})

    assert (report.state, sample(report, "content_not_read")["found"]) == ("rejected", name)


@pytest.mark.parametrize(
    "entry",
    [
        {"file_name": "0.png", "coordinates": {"lat": 1.5, "lon": 2.5}},
        {"name": "0.png", "attributes": {"color": "red"}},
    ],
)
def test_facts_about_images_are_no_objects_of_another_format(tmp_path: Path, entry: dict[str, object]) -> None:
    report = upload(tmp_path, {"a.zip": make_zip([*PICTURES, ("facts.json", json.dumps([entry]).encode())])})

    assert (report.state, codes(report)) == ("ready", {"file_ignored"})
