"""The hint of an issue whose rows were left out says so."""

from __future__ import annotations

from ml.data.issues import LEFT_OUT, IssueLog


def test_a_row_that_was_left_out_is_not_said_to_need_a_decision() -> None:
    log = IssueLog(max_samples=5)
    log.add("image_truncated", rows=1)
    (issue,) = log.entries
    assert (issue.severity, issue.hint) == ("error", "The image file is cut off. Copy it again, or leave it out.")
    log.leave_out_bad_rows(max_rows=2)
    (issue,) = log.entries
    assert issue.severity == "repair"
    assert issue.hint == (
        f"{LEFT_OUT} the other rows are kept. The image file is cut off. Copy it again, and upload it again, to have "
        "it too."
    )
    log.add("image_truncated", rows=1)
    assert (issue.count, issue.severity, issue.hint.startswith(LEFT_OUT)) == (2, "repair", True)
