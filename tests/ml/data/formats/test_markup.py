"""Subtitles and web pages are read as the text that they show."""

from pathlib import Path

import pytest

from ml.data.dataset import Dataset
from ml.data.formats._markup import find_markup
from tests.support.ml.dataset_files import codes, make_zip, sample, upload

SRT = """1
00:00:01,000 --> 00:00:03,500
<i>Good evening</i>,
{\\an8}ladies &amp; gentlemen.

2
00:00:04,000 --> 00:00:05,000 X1:40
It is 12:30.
"""
VTT = """WEBVTT - Talk
Kind: captions

STYLE
::cue { color: red }

NOTE by hand

intro
00:01.000 --> 00:02.000 align:start
<v Ann>Good <00:01.500><c>evening</c></v>

00:02.000 --> 00:03.000
Good evening

00:03.000 --> 00:04.000
It is 12:30.
"""
SBV = "0:00:01.000,0:00:02.000\nGood evening\n\n0:00:02.000,0:00:03.000\nIt is 12:30.\n"
ASS = """[Script Info]
Title: A

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\i1}Good{\\i0}\\Nevening, all
Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,not shown
"""
PLAIN_LRC = "[00:01.00]Good evening\n[00:02.00]It is late\n"
LRC = "[ar:Singer]\n[00:01.00]Good evening\n[00:02.00][00:09.00]It is late\n"
HTML = """<!DOCTYPE html>
<html><head><title>Shop</title><style>p {color: red}</style></head>
<body><nav>Home</nav><p>Good <b>evening</b>, ladies &amp;
gentlemen.<br>It is 12:30.</p><script>let a = "<p>no</p>";</script></body></html>
"""
TEXTS = {
    "SubRip subtitles": (SRT, "Good evening,\nladies & gentlemen.\nIt is 12:30.\n"),
    "WebVTT subtitles": (VTT, "Good evening\nIt is 12:30.\n"),
    "SBV subtitles": (SBV, "Good evening\nIt is 12:30.\n"),
    "SubStation Alpha subtitles": (ASS, "Good evening, all\n"),
    "LRC lyrics": (LRC, "Good evening\nIt is late\n"),
    "HTML": (HTML, "Home\n\nGood evening, ladies & gentlemen.\n\nIt is 12:30.\n\n"),
    "WikiExtractor's documents": ('<doc id="1" title="A">\nA\n\nIt is a &lt; b.\n</doc>\n', "A It is a < b.\n\n"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_markup_is_recognized_and_left_out(name: str) -> None:
    content, text = TEXTS[name]
    markup = find_markup(content)
    assert markup is not None
    assert markup.strip is not None
    assert (markup.name, "".join(markup.strip(content.splitlines(keepends=True)))) == (name, text)


def test_lyrics_without_tags_have_hundredths() -> None:
    markup = find_markup(PLAIN_LRC)

    assert (markup.name if markup else None) == "LRC lyrics"


@pytest.mark.parametrize(
    "prose",
    [
        *("1\nA chapter", "12:30 --> home", "a < b", "WEBVTTs are files", "[1] A note", "# Title\n<br>", "<3 you"),
        *("[12:30] <ann> hello", "[12:30:59] ann: hello", "<!-- a comment -->" * 200 + "prose"),
    ],
)
def test_prose_has_no_markup(prose: str) -> None:
    assert find_markup(prose) is None


def test_tags_are_part_of_markdown(tmp_path: Path) -> None:
    lines = "".join(f"- item {row} is `a < b` in vector<int>\n" for row in range(300))
    report = upload(tmp_path, {"a.md": f'<p align="center">Logo</p>\n\n{lines}'.encode()}, task="text_generation")
    texts = Dataset.open(tmp_path / "dataset").rows("train").columns["text"]

    assert (report.state, codes(report)) == ("ready", set())
    assert all("vector<int>\n" in text for text in texts)


@pytest.mark.parametrize("packing", ["loose", "zip", "txt", "zip of txt"])
@pytest.mark.parametrize("task", [None, "text_generation"])
def test_a_language_model_learns_what_subtitles_show(tmp_path: Path, packing: str, task: str | None) -> None:
    suffix = "txt" if "txt" in packing else "srt"
    contents = {f"{number}.{suffix}": SRT.replace("evening", f"evening {number}").encode() for number in range(12)}
    files = contents if packing in ("loose", "txt") else {"a.zip": make_zip(contents.items())}
    report = upload(tmp_path, files, task=task)

    assert (report.state, report.guess.task if report.guess else None) == ("ready", "text_generation")
    assert sample(report, "markup_removed")["found"] == "SubRip subtitles"
    texts = Dataset.open(tmp_path / "dataset").rows("train").columns["text"]
    assert all(text.startswith("Good evening") and "-->" not in text for text in texts)


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("task", [None, "text_generation"])
def test_files_of_wikiextractor_have_no_suffix(tmp_path: Path, is_packed: bool, task: str | None) -> None:
    files = {
        f"wiki_{number:02}": f'<doc id="{number}" title="A">\nA\n\nIt is {number} &lt; b.\n</doc>\n'.encode()
        for number in range(20)
    }
    packed = {"a.zip": make_zip((f"AA/{name}", content) for name, content in files.items())}
    report = upload(tmp_path, packed if is_packed else files, task=task)
    texts = Dataset.open(tmp_path / "dataset").rows("train").columns["text"]

    assert (report.state, codes(report)) == ("ready", {"markup_removed"})
    assert all("<" not in text.replace("< b", "") for text in texts)


def test_web_pages_in_class_folders_are_read_without_tags(tmp_path: Path) -> None:
    members = [(f"{('a', 'b')[row % 2]}/{row}.html", HTML.replace("evening", f"{row}").encode()) for row in range(40)]
    report = upload(tmp_path, {"pages.zip": make_zip(members)})

    assert (report.classes, codes(report)) == (["a", "b"], {"markup_removed"})


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.txt", "\t")])
def test_tags_in_the_texts_of_a_table_are_no_markup(tmp_path: Path, name: str, delimiter: str) -> None:
    rows = "".join(f"<p>text {row}</p>{delimiter}{row % 2}\n" for row in range(60))
    report = upload(tmp_path, {name: rows.encode()}, task="text_classification")

    assert (report.state, report.classes) == ("ready", ["0", "1"])


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.srt", SRT, "SubRip subtitles"),
        ("a.html", HTML, "HTML"),
        ("a.xml", '<?xml version="1.0"?>\n<TEI><p>A, b</p>\n</TEI>\n', "XML"),
        ("a.rtf", "{\\rtf1\\ansi A, b\n}\n", "RTF"),
        ("a.pdf", "%PDF-1.4\n1, 0, obj\n", "PDF"),
    ],
)
def test_markup_is_no_table(tmp_path: Path, name: str, content: str, kind: str) -> None:
    report = upload(tmp_path, {name: content.encode()}, task="text_classification")

    assert (report.state, sample(report, "content_not_read")["found"]) == ("rejected", kind)
