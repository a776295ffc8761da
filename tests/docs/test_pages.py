import json
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import REPOSITORY, Block, blocks, clone, lines_not_in, run, terminal

DOCS = REPOSITORY / "docs"
HOW_TO = DOCS / "how-to"
SITE = yaml.load((REPOSITORY / "mkdocs.yml").read_text(), Loader=yaml.BaseLoader)
START = Block("bash", "source .venv/bin/activate\nplinth up\n")
HEADINGS = ["Bring", "Example data", "Command line", "HTTP", "Python", "The answer", "Limits"]
#: Pages whose blocks run here. README and the tutorial train classifiers of images; the others train for longer and are
#: run by hand before a release.
QUICK = ["text_classification"]


def page_of_task(task: str) -> Path:
    (page,) = HOW_TO.glob(f"*/{task}.md")
    return page


def outputs_that_differ(page: list[Block], outputs: list[str]) -> dict[str, list[str]]:
    pairs = zip(page, outputs, strict=True)
    return {block.code: lines for block, text in pairs if (lines := lines_not_in(text, block.output))}


@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.parametrize("task", QUICK)
def test_the_blocks_of_a_how_to_work_when_pasted_in_order(task: str, tmp_path: Path) -> None:
    page = blocks(page_of_task(task))
    with clone(tmp_path / "clone") as environment, terminal(START, tmp_path / "clone", environment):
        assert outputs_that_differ(page, run(page, tmp_path / "clone", environment)) == {}


@pytest.mark.process
@pytest.mark.timeout(600)
def test_the_blocks_of_the_tutorial_work_when_pasted_in_order(tmp_path: Path) -> None:
    first, *others = blocks(DOCS / "tutorial.md")
    with clone(tmp_path / "clone") as environment, terminal(first, tmp_path / "clone", environment):
        assert outputs_that_differ(others, run(others, tmp_path / "clone", environment)) == {}


def test_every_task_has_a_how_to_with_the_same_parts() -> None:
    for task in json.loads((REPOSITORY / "ml" / "spec" / "catalog.json").read_text())["tasks"]:
        assert re.findall(r"^## (.+)$", page_of_task(task).read_text(), re.MULTILINE) == HEADINGS, task


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page() -> None:
    def files(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        values = entry.values() if isinstance(entry, dict) else entry
        assert not isinstance(values, str)
        return [file for value in values for file in files(value)]

    listed = files(SITE["nav"])
    linked = re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "decisions" / "index.md").read_text())
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - {f"decisions/{name}" for name in linked}
    assert sorted(listed) == sorted(pages)


def test_every_metric_stands_in_the_table_of_metrics() -> None:
    catalog = json.loads((REPOSITORY / "ml" / "spec" / "catalog.json").read_text())
    metrics = {name for task in catalog["tasks"].values() for name in task["metrics"]}
    metrics |= {name for objective in catalog["objectives"].values() for name in objective["scores"]}
    page = (DOCS / "explanation" / "metrics.md").read_text().partition("## Calibration")[0]
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| `")]
    assert all(len(row) == 5 and all(cell.strip() for cell in row) for row in rows)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row[0])} == metrics


def test_every_decision_has_a_date_and_a_status_and_is_in_the_index() -> None:
    index = (DOCS / "decisions" / "index.md").read_text()
    for path in sorted((DOCS / "decisions").glob("0*.md")):
        title, _, head, _, values, *_ = path.read_text().splitlines()
        number = int(path.name.partition("-")[0])
        assert title.startswith(f"# {number}. ")
        assert head == "| date | status | supersedes | superseded by |"
        date, status, *_ = (cell.strip() for cell in values.strip("|").split("|"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", date)
        assert re.match(r"proposed|accepted|superseded", status)
        assert f"| [{title[2:]}]({path.name}) | {date} | {status} |" in index, "run: make reference"


def test_the_architecture_of_the_example_reads_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "explanation" / "adding.md").read_text(), re.DOTALL)
    (tmp_path / "mean_color_of_the_page.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    kind = import_module("mean_color_of_the_page").MeanColor

    backbone = kind(kind.tiny(), shape={"channels": 3, "height": 8, "width": 8})

    ((pooled,),) = backbone(torch.rand(5, 3, 8, 8)).values()
    assert pooled.shape == (5, backbone.widths.pooled)
