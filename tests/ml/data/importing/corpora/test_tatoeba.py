"""Tatoeba's sentences and links."""

from pathlib import Path

import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, count, make_tar, sample, upload

LANGUAGES = ("eng", "deu")


def sentences(languages: tuple[str, ...] = LANGUAGES, *, detail: str = "") -> bytes:
    rows = [
        f'{1 + pair * len(languages) + side}\t{language}\t"Text {pair}" in {language}.{detail}\n'
        for pair in range(60)
        for side, language in enumerate(languages)
    ]
    return "".join([*rows, f"999\t{languages[0]}\tAlone.{detail}\n"]).encode()


def links(count: int = 2) -> bytes:
    numbers = [pair * count + 1 for pair in range(60)]
    return "".join(f"{number}\t{number + 1}\n{number + 1}\t{number}\n" for number in numbers).encode()


@pytest.mark.parametrize("detail", ["", "\tann\t2010-01-01\t2011-01-01"])
@pytest.mark.parametrize("task", [None, "translation"])
def test_sentences_are_joined_by_their_links(tmp_path: Path, task: str | None, detail: str) -> None:
    files = {"sentences.csv": sentences(detail=detail), "links.csv": links()}
    report = upload(tmp_path, files, task=task)
    rows = Dataset.open(tmp_path / "dataset").rows("train").columns

    assert (report.state, report.accepted, report.guess.task if report.guess else None) == ("ready", 60, "translation")
    assert (rows["text"][0], rows["target"][0]) == ('"Text 0" in deu.', '"Text 0" in eng.')
    assert count(report, "sentences_not_linked") == 1


def test_archives_of_sentences_and_links_are_joined(tmp_path: Path) -> None:
    files = {
        "sentences.tar.bz2": make_tar([("sentences.csv", sentences())], mode="w:bz2"),
        "links.tar.bz2": make_tar([("links.csv", links())], mode="w:bz2"),
    }
    report = upload(tmp_path, files, task="translation")

    assert (report.state, report.accepted) == ("ready", 60)


def test_links_of_two_languages_alone_stand_in_one_direction(tmp_path: Path) -> None:
    backwards = "".join(f"{pair * 2 + 2}\t{pair * 2 + 1}\n" for pair in range(60)).encode()
    report = upload(tmp_path, {"sentences.csv": sentences(), "deu-eng_links.tsv": backwards}, task="translation")

    assert (report.state, report.accepted) == ("ready", 60)


def test_two_of_more_languages_have_to_be_named(tmp_path: Path) -> None:
    files = {"sentences.csv": sentences(("eng", "deu", "fra")), "links.csv": links(3)}
    unnamed = upload(tmp_path / "unnamed", files, task="translation")
    named = upload(tmp_path / "named", files, task="translation", columns={"text": "eng", "target": "deu"})

    assert (unnamed.state, codes(unnamed)) == ("rejected", {"content_not_read"})
    assert sample(unnamed, "content_not_read")["found"] == "sentences in eng, deu, fra"
    rows = Dataset.open(tmp_path / "named" / "dataset").rows("train").columns
    assert (named.accepted, rows["text"][0], rows["target"][0]) == (60, '"Text 0" in eng.', '"Text 0" in deu.')


def test_sentences_without_links_are_texts_in_their_languages(tmp_path: Path) -> None:
    report = upload(tmp_path, {"sentences.csv": sentences()})

    assert report.classes == sorted(LANGUAGES)
