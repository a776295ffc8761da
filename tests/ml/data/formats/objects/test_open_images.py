"""Open Images: names of classes, groups of objects, splits by the names of the files."""

from tests.support.ml.dataset_files import codes, count
from tests.support.ml.object_uploads import COUNT, draw, import_objects

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"


def make_row(number, marks="0,0,0,0,0", label="/m/01yrx"):
    return f"{number:016x},xclick,{label},1,0.1,0.6,0.2,0.8,{marks}"


def make_upload(first, *, file="train-annotations-bbox.csv"):
    files = {f"images/{number:016x}.png": draw(number) for number in range(COUNT)}
    rows = [HEADER, *first, *(make_row(number) for number in range(1, COUNT))]
    files[f"annotations/{file}"] = "\n".join(rows).encode()
    return files | {"annotations/class-descriptions-boxable.csv": b"/m/01yrx,Cat\n/m/0bt9lr,Dog\n"}


BOX = ["Cat", [4, 6, 24, 24]]


def test_classes_have_their_names(tmp_path):
    report, objects = import_objects(tmp_path, make_upload([make_row(0), make_row(0, label="/m/0bt9lr")]))

    assert (report.state, report.guess.format, codes(report)) == ("ready", "open_images", set())
    assert (report.classes, objects[0], objects[5]) == (["Cat", "Dog"], [BOX, ["Dog", BOX[1]]], [BOX])


def test_a_group_is_a_crowd_and_other_marks_are_counted(tmp_path):
    report, objects = import_objects(tmp_path, make_upload([make_row(0, "0,1,1,1,0")]))

    assert objects[0] == [[*BOX, "crowd"]]
    assert codes(report) == {"objects_as_crowd", "annotation_parts_not_read"}
    assert count(report, "annotation_parts_not_read") == 2


def test_other_tables_beside_the_boxes_are_reported(tmp_path):
    files = make_upload([make_row(0)]) | {"annotations/train-images.csv": b"ImageID,Subset\n0,train\n"}
    report, objects = import_objects(tmp_path, files)

    assert (report.state, codes(report), len(objects)) == ("ready", {"file_ignored"}, COUNT)
