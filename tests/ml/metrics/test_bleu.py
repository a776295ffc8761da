"""BLEU and chrF of whole splits, and the answer that does not look."""

import pytest

from ml.metrics.bleu import most_typical, score, worst

WANTED = ["A man in a red shirt is riding a bike .", "Two dogs play in the snow .", "A girl reads a book ."]


def test_equal_texts_score_a_hundred_and_others_less() -> None:
    assert score(WANTED, WANTED).metrics == pytest.approx({"bleu": 100.0, "chrf": 100.0})
    turned = score([*WANTED[1:], WANTED[0]], WANTED).metrics
    assert turned["bleu"] < turned["chrf"] < 50


def test_bleu_is_what_its_formula_says() -> None:
    # 5 of 6 words, 4 of 5 pairs, 3 of 4 threes, 2 of 3 fours; the answer is as long as the reference.
    found = score(["the cat sat on the hat"], ["the cat sat on the mat"]).metrics["bleu"]
    assert found == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)


def test_how_it_was_counted_is_told() -> None:
    signatures = score(WANTED, WANTED).signatures
    assert "tok:13a" in signatures["bleu"]
    assert "case:mixed" in signatures["bleu"]
    assert "nc:6" in signatures["chrf"]


@pytest.mark.parametrize(
    ("texts", "cut"),
    [
        (["一个穿红衬衫的男人在骑车。"], "zh"),
        (["赤いシャツの男が自転車に乗っている。"], "char"),
        (["Ein Mann fährt Rad."], "13a"),
    ],
)
def test_scripts_without_blanks_are_counted_by_letter(texts: list[str], cut: str) -> None:
    found = score(texts, texts)
    assert f"tok:{cut}" in found.signatures["bleu"]
    assert found.metrics["bleu"] == pytest.approx(100.0)


def test_the_worst_answers_come_first() -> None:
    answers = [WANTED[0], "Nothing alike", WANTED[2]]
    found = worst(["x", "y", "z"], answers, WANTED)
    assert (found[0]["index"], found[0]["text"], found[0]["answer"], found[0]["wanted"]) == (
        1,
        "y",
        answers[1],
        WANTED[1],
    )
    assert found[0]["chrf"] < found[1]["chrf"]


def test_the_typical_text_has_what_most_others_have() -> None:
    texts = [
        "A man is walking .",
        "A man is in a boat .",
        "A dog is running .",
        "Snow",
        "Two cats eat in an old house .",
    ]
    assert most_typical(texts) == "A man is walking ."
    assert most_typical(["One"]) == "One"
