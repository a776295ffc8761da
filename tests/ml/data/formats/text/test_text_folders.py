"""Folders of pages by class, whose names are addresses."""

from pathlib import Path

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, make_zip, upload

HEADERS = "Date: Tue, 14-Jan-97 20:14:00 GMT\nServer: NCSA/1.3\nContent-type: text/html\n\n"


def test_the_pages_of_webkb_are_read_by_class_without_headers_and_tags(tmp_path: Path) -> None:
    members = []
    for row in range(40):
        kind, place = ("course", "student")[row % 2], ("cornell", "texas")[row // 2 % 2]
        page = f"{HEADERS if row % 4 else ''}<html><body><p>page {row} of a {kind}</p></body></html>"
        suffix = ".html" if row % 5 == 0 else "^"
        members.append((f"webkb/{kind}/{place}/http:^^www.cs.{place}.edu^~p{row}{suffix}", page.encode()))
    report = upload(tmp_path, {"webkb.zip": make_zip(members)})
    assert (report.state, report.rows, report.classes) == ("ready", 40, ["course", "student"])
    assert {"markup_removed", "folders_nested"} <= codes(report)
    texts = Dataset.open(tmp_path / "dataset").rows("train").columns["text"]
    assert all(text.split()[0] == "page" for text in texts)


def test_headers_of_messages_are_part_of_their_text(tmp_path: Path) -> None:
    members = [
        (f"news/{('autos', 'space')[row % 2]}/{row}", f"From: ann\nSubject: item {row}\n\nwords {row}\n".encode())
        for row in range(40)
    ]
    upload(tmp_path, {"news.zip": make_zip(members)})
    assert all(
        text.startswith("From: ann") for text in Dataset.open(tmp_path / "dataset").rows("train").columns["text"]
    )
