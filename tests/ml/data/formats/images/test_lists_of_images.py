"""Tables without a usual name that list images, as competitions bring them."""

import pytest

from tests.support.ml.dataset_files import (
    class_folders,
    encode_image,
    make_images,
    make_labels,
    make_png,
    make_zip,
    sample,
    upload,
)


@pytest.mark.parametrize("task", [None, "image_classification"])
@pytest.mark.parametrize("is_loose", [False, True])
def test_a_table_that_names_the_images_by_ids_is_their_list(tmp_path, task, is_loose):
    ids = [f"{row * 7919:06x}ab" for row in range(40)]
    photos = [
        (f"train_images/{name}.png", encode_image(image)) for name, image in zip(ids, make_images(40), strict=True)
    ]
    photos.append(("test_images/999.png", make_png(99)))
    rows = "".join(f"{name},{row % 3}\n" for row, name in enumerate(ids))
    tables = {
        "train.csv": f"id_code,diagnosis\n{rows}".encode(),
        "test.csv": b"id_code\n999\n",
        "sample_submission.csv": b"id_code,diagnosis\n999,0\n",
    }
    if is_loose:
        files = {"train_images.zip": make_zip(photos[:-1]), "train.csv": tables["train.csv"]}
    else:
        files = {"eyes.zip": make_zip([*photos, *tables.items()])}
    report = upload(tmp_path, files, task=task)

    assert (report.state, report.guess.task, report.rows) == ("ready", "image_classification", 40)
    assert report.classes == ["0", "1", "2"]
    assert report.guess.columns == {"file": "id_code", "label": "diagnosis"}
    assert is_loose or sample(report, "image_not_in_table")["file"] == "eyes.zip/test_images/999.png"


def test_a_table_of_sizes_beside_class_folders_is_no_list_of_labels(tmp_path):
    members = class_folders(make_images(40), make_labels(40))
    sizes = "".join(f"{name.rpartition('/')[2]},6,6\n" for name, _ in members)
    report = upload(tmp_path, {"a.zip": make_zip([*members, ("sizes.csv", f"file,width,height\n{sizes}".encode())])})

    assert (report.state, report.guess.format, report.classes) == ("ready", "class_folders", ["0", "1"])


def test_captions_with_several_rows_for_an_image_are_read(tmp_path):
    photos = [(f"flickr30k_images/{row}.png", encode_image(image)) for row, image in enumerate(make_images(40))]
    rows = "".join(f"{row}.png| {number}| A dog runs {row} {number} .\n" for row in range(40) for number in range(2))
    table = f"image_name| comment_number| comment\n{rows}".encode()
    report = upload(tmp_path, {"flickr30k.zip": make_zip([*photos, ("results.csv", table)])})

    assert (report.state, report.guess.task, report.rows) == ("ready", "image_text_matching", 80)
    assert report.guess.columns == {"file": "image_name", "text": "comment"}


@pytest.mark.parametrize("task", [None, "image_classification"])
def test_the_class_may_be_a_mark_in_a_column_of_its_own(tmp_path, task):
    photos = [(f"ISIC_{row}.png", encode_image(image)) for row, image in enumerate(make_images(40))]
    rows = "".join(f"ISIC_{row},{1 - row % 2:.1f},{row % 2:.1f},0.0\n" for row in range(40))
    table = f"image,MEL,NV,BCC\n{rows}".encode()
    report = upload(tmp_path, {"isic.zip": make_zip([*photos, ("ISIC_GroundTruth.csv", table)])}, task=task)

    assert (report.state, report.guess.task, report.rows) == ("ready", "image_classification", 40)
    assert report.classes == ["MEL", "NV"]
    assert report.guess.columns == {"file": "image", "label": "MEL, NV, BCC"}


def test_an_image_of_two_marked_classes_is_reported(tmp_path):
    photos = [(f"{row}.png", encode_image(image)) for row, image in enumerate(make_images(40))]
    rows = "".join(f"{row},{1 - row % 2},{int(row % 2 or row == 8)}\n" for row in range(40))
    files = {"a.zip": make_zip([*photos, ("labels.csv", f"image,MEL,NV\n{rows}".encode())])}
    report = upload(tmp_path, files, task="image_classification")

    assert report.state == "rejected"
    assert sample(report, "label_not_plain")["found"] == "MEL = 1, NV = 1"


@pytest.mark.parametrize("task", [None, "image_text_retrieval"])
def test_numbered_captions_without_column_names_are_read(tmp_path, task):
    photos = [(f"Images/{row}.png", encode_image(image)) for row, image in enumerate(make_images(40))]
    lines = [f"{row}.png#{number}\ta caption , {number} of {row}\n" for row in range(40) for number in range(2)]
    lists = [("Flickr8k.token.txt", "".join(lines).encode()), ("Flickr8k.lemma.token.txt", "".join(lines).encode())]
    report = upload(tmp_path, {"flickr8k.zip": make_zip([*photos, *lists])}, task=task)

    assert (report.state, report.rows, report.guess.columns) == ("ready", 80, {"file": "file_name", "text": "caption"})
