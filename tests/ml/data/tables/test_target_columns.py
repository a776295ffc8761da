"""Tables as people bring them: which column is predicted, and when it is asked for."""

import random

import pytest

from tests.support.ml.dataset_files import codes, sample, upload

ROWS = 60
WORDS = ["printer", "screen", "router", "mouse", "invoice", "password", "login", "cable", "server", "network"]


def make_cell(kind, row, generator):
    """Return a cell of a kind, or one of several values such as `a|b`."""
    if "|" in kind:
        return generator.choice(kind.split("|"))
    return {
        "text": " ".join(generator.choices(WORDS, k=7)) + f" {row}",
        "title": f"{generator.choice(WORDS)} {row}",
        "fraction": f"{generator.random() * 100 + 0.25:.2f}",
        "comma": f"{generator.random() * 900 + 1:.2f}".replace(".", ","),
        "money": f"${generator.randrange(1, 9)},{generator.randrange(100, 999)}",
        "number": str(generator.randrange(1, 500)),
        "code": str(generator.randrange(1, 6)),
        "id": f"{row}",
        "link": f"https://example.com/{row}",
    }[kind]


def make_table(columns, *, delimiter=","):
    generator = random.Random(0)
    rows = [delimiter.join(make_cell(kind, row, generator) for kind in columns.values()) for row in range(ROWS)]
    return "\n".join([delimiter.join(columns), *rows, ""]).encode()


#: Columns, the task, the column that is predicted, and the others that may be meant.
TEXTS = {
    "reviews": ({"review_id": "link", "stars": "code", "text": "text", "useful": "code"}, "stars", "or useful"),
    "intents": ({"text": "text", "lang": "en|de", "intent": "a|b|c"}, "intent", None),
    "mails": ({"From": "link", "Subject": "title", "Body": "text", "Spam/Ham": "spam|ham"}, "Spam/Ham", None),
    "support": ({"ticket_text": "text", "queue": "a|b", "language": "en|de", "answer": "text"}, "queue", None),
    "hotels": ({"hotel": "A|B", "city": "Rome|Bonn", "review": "text", "rating": "code"}, "rating", "or hotel"),
    "shop": ({"reviewText": "text", "overall": "code", "summary": "title"}, "overall", None),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_beside_a_usual_name_of_classes_is_classified(tmp_path, name):
    columns, label, others = TEXTS[name]
    report = upload(tmp_path, {"a.csv": make_table(columns)})

    assert (report.state, report.guess.task) == ("ready", "text_classification")
    guess = sample(report, "label_column_guessed")
    assert (guess["found"], guess.get("expected")) == (f"label = {label}", others)


@pytest.mark.parametrize("names", [("aaa", "bbb"), ("toxic", "threat", "insult")])
def test_several_columns_of_classes_without_a_usual_name_are_asked_for(tmp_path, names):
    data = make_table({"remark": "text", **dict.fromkeys(names, "0|1")})
    report = upload(tmp_path, {"a.csv": data})

    assert (report.state, codes(report)) == ("rejected", {"label_not_named"})
    assert sample(report, "label_not_named")["found"] == ", ".join(names)
    assert upload(tmp_path / "text", {"a.csv": data}, task="text_generation").state == "ready"
    assert upload(tmp_path / "named", {"a.csv": data}, columns={"label": names[1]}).classes == ["0", "1"]


def test_a_corpus_with_its_sources_and_languages_is_text_to_continue(tmp_path):
    data = make_table({"id": "id", "text": "text", "source": "web|book", "lang": "en|de", "url": "link"})
    report = upload(tmp_path, {"a.csv": data})

    assert (report.state, report.guess.task) == ("ready", "text_generation")
    assert report.reading == "read: text; not read: source, lang, url, id"


def test_names_of_coded_classes_are_the_classes(tmp_path):
    data = make_table({"text": "text", "label": "0|1", "label_text": "negative|positive"})
    report = upload(tmp_path, {"a.csv": data})

    assert report.classes == ["negative", "positive"]
    assert report.reading == "read: text, label = label_text; not read: label"


def test_a_label_judges_a_question_and_its_answer_and_a_category_sorts_them(tmp_path):
    judged = upload(tmp_path / "a", {"a.csv": make_table({"question": "text", "answer": "text", "label": "0|1"})})
    assert judged.guess.columns == {"text": "question + answer", "label": "label"}
    sorted_ = upload(tmp_path / "b", {"a.csv": make_table({"question": "text", "answer": "text", "category": "a|b"})})
    assert (sorted_.guess.task, sorted_.guess.columns) == ("text_generation", {"prompt": "question", "text": "answer"})


#: Columns, the delimiter, the task and the column that is predicted.
MEASUREMENTS = {
    "houses": ({"area": "fraction", "rooms": "code", "city": "Rome|Bonn", "price": "number"}, "regression", "price"),
    "Häuser": ({"Fläche": "comma", "Zimmer": "code", "Ort": "Rom|Bonn", "Preis": "comma"}, "regression", "Preis"),
    "cars": ({"make": "vw|kia", "year": "number", "km": "number", "Price": "money"}, "regression", "Price"),
    "passengers": (
        {"PassengerId": "id", "Survived": "0|1", "Pclass": "code", "Sex": "m|f", "Age": "number", "Fare": "fraction"},
        "classification", "Survived",
    ),
    "gems": (
        {"carat": "fraction", "cut": "Ideal|Fair", "price": "number", "x": "fraction", "y": "fraction",
         "z": "fraction"},
        "regression", "price",
    ),
    "penguins": (
        {"species": "a|b|c", "island": "d|e", "bill_mm": "fraction", "flipper_mm": "number", "mass": "number",
         "sex": "m|f"},
        "classification", "species",
    ),
    "customers": (
        {"customerID": "id", "gender": "m|f", "tenure": "number", "Contract": "a|b", "Churn": "Yes|No"},
        "classification", "Churn",
    ),
    "salaries": ({"YearsExperience": "fraction", "Salary": "number"}, "regression", "Salary"),
    "SalePrice": (
        {"Id": "id", "LotArea": "number", "Street": "a|b", "OverallQual": "code", "SalePrice": "number"},
        "regression", "SalePrice",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_usual_name_of_an_outcome_is_predicted_rather_than_the_only_category(tmp_path, name):
    columns, task, target = MEASUREMENTS[name]
    report = upload(tmp_path, {"a.csv": make_table(columns, delimiter=";")})

    assert (report.state, report.guess.task) == ("ready", f"tabular_{task}")
    canonical = "value" if task == "regression" else "label"
    assert sample(report, "label_column_guessed")["found"] == f"{canonical} = {target}"


@pytest.mark.parametrize("order", [("city", "a", "b", "c"), ("a", "b", "city", "c")])
def test_a_category_that_may_be_a_feature_is_no_target(tmp_path, order):
    columns = {name: "Rome|Bonn" if name == "city" else "number" for name in order}
    report = upload(tmp_path, {"a.csv": make_table(columns)})

    assert (report.state, codes(report)) == ("rejected", {"target_not_named"})
