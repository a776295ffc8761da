"""BLEU and chrF of whole splits, and the text of the trivial baseline."""

import pytest
import sacrebleu

from ml.metrics.bleu import corpus_scores, most_typical_text, worst_rows

REFERENCES = ["A man in a red shirt is riding a bike .", "Two dogs play in the snow .", "A girl reads a book ."]


def test_equal_texts_score_a_hundred_and_others_less() -> None:
    assert corpus_scores(REFERENCES, REFERENCES).metrics == pytest.approx({"bleu": 100.0, "chrf": 100.0})
    turned = corpus_scores([*REFERENCES[1:], REFERENCES[0]], REFERENCES).metrics
    assert turned["bleu"] < turned["chrf"] < 50


def test_bleu_is_what_its_formula_says() -> None:
    # 5 of 6 words, 4 of 5 pairs, 3 of 4 threes, 2 of 3 fours; the answer is as long as the reference.
    bleu = corpus_scores(["the cat sat on the hat"], ["the cat sat on the mat"]).metrics["bleu"]
    assert bleu == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)


def test_signatures_say_how_the_scores_were_computed() -> None:
    signatures = corpus_scores(REFERENCES, REFERENCES).signatures
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
def test_scripts_without_spaces_are_tokenized_by_character(texts: list[str], cut: str) -> None:
    scores = corpus_scores(texts, texts)
    assert f"tok:{cut}" in scores.signatures["bleu"]
    assert scores.metrics["bleu"] == pytest.approx(100.0)


def test_the_worst_answers_come_first() -> None:
    answers = [REFERENCES[0], "Nothing alike", REFERENCES[2]]
    rows = worst_rows(["x", "y", "z"], answers, REFERENCES)
    assert (rows[0]["index"], rows[0]["text"], rows[0]["answer"], rows[0]["reference"]) == (
        1,
        "y",
        answers[1],
        REFERENCES[1],
    )
    assert rows[0]["chrf"] < rows[1]["chrf"]


def test_the_typical_text_shares_the_most_n_grams() -> None:
    texts = [
        "A man is walking .",
        "A man is in a boat .",
        "A dog is running .",
        "Snow",
        "Two cats eat in an old house .",
    ]
    assert most_typical_text(texts) == "A man is walking ."
    assert most_typical_text(["One"]) == "One"


@pytest.mark.parametrize("words", [1, 2, 3])
def test_right_answers_of_up_to_three_words_have_no_bleu_as_in_sacrebleu_and_a_note(words: int) -> None:
    texts = [" ".join(["guten", "Tag", "auch"][:words])] * 3
    scores = corpus_scores(texts, texts)
    assert scores.metrics["bleu"] == sacrebleu.corpus_bleu(texts, [texts]).score == 0.0
    assert scores.metrics["chrf"] == pytest.approx(100)
    (note,) = scores.notes
    assert "bleu is 0 whatever the answers are" in note


def test_answers_that_are_short_on_average_are_noted() -> None:
    texts = ["guten Tag", "ja", "nein", "ein roter alter Wolf"]
    scores = corpus_scores(texts, texts)
    assert scores.metrics["bleu"] == sacrebleu.corpus_bleu(texts, [texts]).score > 0
    (note,) = scores.notes
    assert "answers have 2.0 tokens on average" in note


def test_sentences_have_no_note() -> None:
    assert corpus_scores(REFERENCES, REFERENCES).notes == []
    assert corpus_scores([""] * 3, REFERENCES).notes == []
