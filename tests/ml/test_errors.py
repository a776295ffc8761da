from ml.errors import Finding, InputError, MLError, SpecError, UnknownName, unknown


def test_a_finding_says_only_what_is_known():
    finding = Finding(code="x", message="wrong", path="a.b", row=3)

    assert finding.to_json() == {"code": "x", "message": "wrong", "path": "a.b", "row": 3}


def test_one_error_carries_every_finding():
    findings = [Finding(code="a", message="first"), Finding(code="b", message="second")]

    error = SpecError.of(findings)

    assert str(error) == error.message == "first; second"
    assert error.findings == tuple(findings)
    assert isinstance(error, MLError)


def test_nothing_alike_gives_no_hint():
    finding = unknown("task", "zzz", ["image_classification"])

    assert finding.hint is None
    assert finding.expected == "image_classification"


def test_an_error_without_names_says_none():
    assert UnknownName("format", "x", []).message == "there is no format named 'x'; known: none"


def test_an_input_error_knows_its_place():
    assert InputError("wrong", index=4).index == 4
