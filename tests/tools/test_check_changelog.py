import pytest

from tests.tools.conftest import RunCheck
from tools import check_changelog

_GOOD = (
    "# Changelog\n\nIntroduction.\n\n## 0.2.0 (unreleased)\n\n### Added\n\n- One.\n\n### Fixed\n\n- Two.\n\n## 0.1.0\n"
)


def test_a_good_changelog_passes(run_check: RunCheck) -> None:
    assert run_check(check_changelog.main, {"CHANGELOG.md": f"{_GOOD}\n### Added\n\n- {'x' * 160}\n"}) == []


@pytest.mark.parametrize(
    ("addition", "fault"),
    [
        (f"\n### Added\n\n- {'x' * 161}\n", "entry has 161 characters (limit 160); move details to docs/"),
        ("\n### Added\n\n- One.\n", "entry repeats line 9; delete it"),
        ("\n- Three.\n", "entry without a section; put it under one of Added, Changed, Fixed, Removed"),
        ("\n### News\n", "section 'News' is not one of Added, Changed, Fixed, Removed"),
        ("\n### Fixed\n\n### Added\n", "section Added comes after Fixed; the order is Added, Changed, Fixed, Removed"),
        ("\n### Added\n\nProse.\n", "an entry is one line that starts with `- `"),
    ],
)
def test_a_fault_is_reported(run_check: RunCheck, addition: str, fault: str) -> None:
    (line,) = run_check(check_changelog.main, {"CHANGELOG.md": _GOOD + addition})
    assert line.startswith("CHANGELOG.md:")
    assert line.endswith(f": {fault}")
