"""Modules of the page without a page: words, numbers, measurements."""

from __future__ import annotations

from typing import Any

import pytest

from app.web import static_files
from tests.web.conftest import Visitor

#: Module and function, arguments, result.
CASES: list[tuple[str, str, list[Any], Any]] = [
    ("format", "bytes", [999], "999 B"),
    ("format", "bytes", [55_400], "55.4 kB"),
    ("format", "bytes", [3_930_000], "3.93 MB"),
    ("format", "count", [1, "class"], "1 class"),
    ("format", "count", [2, "class"], "2 classes"),
    ("format", "count", [7, "day"], "7 days"),
    ("format", "count", [2, "query"], "2 queries"),
    ("format", "count", [1200, "row"], "1,200 rows"),
    ("format", "plain", ["Drop them: `plinth datasets fix`, or drop_rows in POST /api/v1/x."], "Drop them."),
    ("format", "plain", ["There is none. GET /api/v1/models lists all."], "There is none."),
    ("format", "plain", ['No target. Name it: columns {"label": "name"}.'], "No target. Name it."),
    (
        "format",
        "plain",
        ["Name the format as `format`; GET /api/v1/catalog describes them."],
        "Name the format as format.",
    ),
    ("format", "plain", ["Lower the rate (`gradient_clip_norm`)."], "Lower the rate (gradient_clip_norm)."),
    ("format", "plain", ["`plinth up` starts one."], ""),
    ("format", "plain", ['To read one, name it by `columns`: {"text": "a"}.'], "To read one, name it by columns."),
    ("format", "plain", [None], None),
    ("measures", "measures", [None], []),
    (
        "measures",
        "measures",
        [{"image": {"channels": 1, "min_width": 8, "max_width": 8, "min_height": 8, "max_height": 8}}],
        [["images", "8 \u00d7 8 pixels"], ["color", "gray"]],
    ),
    (
        "measures",
        "measures",
        [{"image": {"channels": 3, "min_width": 8, "max_width": 640, "min_height": 8, "max_height": 480}}],
        [["images", "8 to 640 pixels wide, 8 to 480 high"], ["color", "in color"]],
    ),
    (
        "measures",
        "measures",
        [{"text": {"mean_characters": 73.8, "max_characters": 1150}}],
        [["length", "73.8 characters on average, at most 1,150"]],
    ),
    (
        "measures",
        "measures",
        [
            {
                "features": {
                    "columns": {"age": {"kind": "number", "missing": 2}, "sex": {"kind": "category", "missing": 0}}
                }
            }
        ],
        [["age", "number, 2 rows without it"], ["sex", "category"]],
    ),
    (
        "columns",
        "rolesOf",
        [["a + b", "c", "d", "e"], {"text": "a + b", "features": "c + d", "label": 4}],
        ["text", "features", "features", "label"],
    ),
    ("columns", "rolesOf", [["a"], None], [""]),
    ("columns", "requestOf", [["a", "", "c", "d"], ["text", "label", "", "text"]], {"text": "a + d", "label": 2}),
    (
        "columns",
        "choicesFor",
        [
            {
                "tasks": {"t": {"columns": {"label": "label"}}},
                "formats": {
                    "csv": {"columns": {"label": "label"}, "column_choices": ["text", "label"]},
                    "log": {"columns": {"history": "items"}, "column_choices": ["user"]},
                },
            },
            "t",
        ],
        ["label", "text"],
    ),
    ("measures", "measures", [{"something": {"some_number": 3}}], [["some number", "3"]]),
]


@pytest.fixture(scope="module")
def addresses() -> dict[str, str]:
    return {module: static_files.url(f"{module}.js") for module, *_ in CASES}


def test_functions_of_modules_return_what_people_read(visitor: Visitor, addresses: dict[str, str]) -> None:
    page = visitor.open("/jobs")
    for module, name, arguments, result in CASES:
        call = "async ([url, name, arguments_]) => (await import(url))[name](...arguments_) ?? null"
        assert page.evaluate(call, [addresses[module], name, arguments]) == result, (name, arguments)


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ({"history": ["tea", "cup"], "user": "u7", "portrait": False, "count": 10}, ["teacup", "u7"]),
        ({"age": 40, "plan": "pro", "joined": "2024-03-01", "cost": None}, ["age40planprojoined2024-03-01"]),
        ({"a_b": 1, "c": 2, "d": 3, "e": False}, ["a b1c2d3efalse"]),
    ],
)
def test_a_row_shows_its_columns_without_settings_of_the_answer(
    row: dict[str, Any], parts: list[str], visitor: Visitor
) -> None:
    page = visitor.open("/jobs")
    code = "async ([url, row]) => [(await import(url)).input(row)].flat().map((part) => part.textContent)"
    assert page.evaluate(code, [static_files.url("rows/values.js"), row]) == parts


def test_the_axis_of_a_fraction_ends_at_1(visitor: Visitor) -> None:
    page = visitor.open("/jobs")
    code = """async (url) => {
        const { lineChart } = await import(url);
        const series = [{ name: "accuracy", className: "s1", points: [[1, 0.5], [2, 1]] }];
        const chart = lineChart(series, { title: "accuracy", xLabel: "step" });
        return [...chart.querySelectorAll(".tick")].map((tick) => tick.textContent);
    }"""
    ticks = page.evaluate(code, static_files.url("charts.js"))
    assert "1" in ticks
    assert "1.1" not in ticks
