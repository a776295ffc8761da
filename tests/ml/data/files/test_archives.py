import unicodedata

import pytest

from tests.support.ml import annotations
from tests.support.ml.dataset_files import codes, make_zip, upload


def zipped_long_ago(members, encoding):
    """Return a zip whose names are in an encoding that it does not declare."""
    stand_ins = {f"<{number}>".ljust(len(name.encode(encoding)), "="): name for number, name in enumerate(members)}
    data = make_zip((stand_in, members[name]) for stand_in, name in stand_ins.items())
    for stand_in, name in stand_ins.items():
        data = data.replace(stand_in.encode(), name.encode(encoding))
    return data


@pytest.mark.parametrize(
    ("classes", "encoding"),
    [
        (["正面", "负面"], "gb18030"),
        (["正面", "負面"], "big5"),
        (["正面", "负面"], "utf-8"),
        (["Größe", "Café"], "cp437"),
        (["Äpfel", "Süßes"], "utf-8"),
        (["año", "niñez"], "cp437"),
    ],
)
def test_names_without_a_declared_encoding_are_decoded(tmp_path, classes, encoding):
    members = {f"{name}/text {row:02d}.txt": f"{name} is {row}".encode() for name in classes for row in range(12)}
    report = upload(tmp_path, {"a.zip": zipped_long_ago(members, encoding)})
    assert sorted(report.classes) == sorted(classes)


@pytest.mark.parametrize("name", ["yolo", "voc", "coco"])
def test_names_match_in_all_unicode_normal_forms(tmp_path, name):
    files = {
        path.replace("p1.", "é1."): data.replace(b"p1.png", "é1.png".encode()).replace(b"p1\n", "é1\n".encode())
        for path, data in annotations.LAYOUTS[name]().items()
    }
    forms = {path: "NFD" if path.endswith(".png") else "NFC" for path in files}
    apart = [(unicodedata.normalize(form, path), files[path]) for path, form in forms.items()]
    report = upload(tmp_path, {"a.zip": make_zip(apart)})
    assert (report.state, codes(report), report.guess.format) == ("ready", set(), name)
