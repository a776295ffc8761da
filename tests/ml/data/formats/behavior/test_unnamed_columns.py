"""Published logs without column names, and times that stand in two columns."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, sample, upload

#: Steps of each user in the order of the file; the times ascend by step.
STEPS = (3, 1, 2, 4)
USERS = 40


def make_log(row: Callable[[int, int], str], header: str = "") -> bytes:
    rows = [row(user, step) for user in range(USERS) for step in STEPS]
    return "\n".join([*([header] if header else []), *rows, ""]).encode()


def item(user: int, step: int) -> int:
    return 2_000 + (user * 5 + step * 7) % 50


BEHAVIORS = ("pv", "cart", "fav", "buy")
LOGS = {
    "yoochoose-clicks.dat": lambda user, step: f"{user},2014-04-07T10:{step:02}:00.277Z,{item(user, step)},0",
    "yoochoose-buys.dat": lambda user, step: f"{user},2014-04-07T10:{step:02}:00.277Z,{item(user, step)},1200,1",
    "UserBehavior.csv": lambda user, step: (
        f"{user},{item(user, step)},{300 + step},{BEHAVIORS[step - 1]},{1511544070 + step * 60}"
    ),
    "Gowalla_totalCheckins.txt": lambda user, step: (
        f"{user}\t2010-10-19T23:{step:02}:27Z\t30.2359091\t-97.7951395\t{item(user, step)}"
    ),
    "userid-timestamp.tsv": lambda user, step: (
        f"user_{user:06}\t2009-05-04T23:{step:02}:57Z\tf1b1cf71-bd35\tDeep Dish\t\t{item(user, step)}"
    ),
}


@pytest.mark.parametrize("task", [None, "recommendation"])
@pytest.mark.parametrize("name", LOGS)
def test_published_logs_without_column_names_are_read(tmp_path: Path, name: str, task: str | None) -> None:
    report = upload(tmp_path, {name: make_log(LOGS[name])}, task=task)
    histories = Dataset.open(tmp_path / "dataset").rows("test").columns["history"]

    assert report.summary is not None
    assert (report.state, report.summary.format) == ("ready", "interactions")
    assert [str(item(0, step)) for step in (1, 2, 3, 4)] in [list(history) for history in histories]


def test_games_of_steam_keep_the_order_of_the_file(tmp_path: Path) -> None:
    bought = ("purchase", "play")
    log = make_log(lambda user, step: f'{100 + user},"Game, {item(user, step)}",{bought[step % 2]},{step * 3}.5,0')
    report = upload(tmp_path, {"steam-200k.csv": log})
    assert (report.state, report.guess and report.guess.format) == ("ready", "interactions")
    histories = Dataset.open(tmp_path / "dataset").rows("test").columns["history"]
    assert list(histories[0]) == [f"Game, {item(0, step)}" for step in STEPS]
    assert "interactions_without_time" in codes(report)


def test_measurements_at_times_are_no_places_that_users_visit(tmp_path: Path) -> None:
    rows = [
        f"s{row % 5},2026-01-01T00:{row:02}:00Z,{20 + row / 7:.2f},{50 + row / 9:.2f},{row % 3}.25" for row in range(60)
    ]
    for name, lines in {
        "five": rows,
        "three": [f"s{row % 5},{20 + row / 7:.2f},{1600000000 + row}" for row in range(60)],
    }.items():
        report = upload(tmp_path / name, {"sensor.csv": "\n".join(lines).encode()})
        assert (report.state, report.guess and report.guess.format) == ("rejected", "csv")
        assert "target_not_named" in codes(report)


def test_items_of_the_netflix_prize_stand_above_their_ratings(tmp_path: Path) -> None:
    lines = [
        line
        for film in range(1, 21)
        for line in [f"{film}:", *(f"{user},{1 + user % 5},2005-09-{film:02}" for user in range(film % 3, 40, 2))]
    ]
    report = upload(tmp_path, {"combined_data_1.txt": "\n".join([*lines, ""]).encode()})
    histories = Dataset.open(tmp_path / "dataset").rows("test").columns["history"]

    assert report.summary is not None
    assert (report.state, report.summary.format) == ("ready", "interactions")
    assert [str(film) for film in range(1, 21) if film % 3 in (0, 2)] in [list(history) for history in histories]


HEADER = "sessionId;userId;itemId;timeframe;eventdate"


def test_milliseconds_of_a_day_order_the_clicks_of_diginetica(tmp_path: Path) -> None:
    log = make_log(lambda user, step: f"{user};NA;{item(user, step)};{step * 9_000};2016-05-{1 + user % 28:02}", HEADER)
    categories = b"itemId;categoryId\n" + b"".join(b"%d;%d\n" % (number, number % 4) for number in range(2_000, 2_050))
    report = upload(tmp_path, {"train-item-views.csv": log, "product-categories.csv": categories})
    histories = Dataset.open(tmp_path / "dataset").rows("test").columns["history"]

    assert report.state == "ready"
    assert [str(item(0, step)) for step in (1, 2, 3, 4)] in [list(history) for history in histories]
    assert "times_equal" not in codes(report)
    assert sample(report, "file_not_a_log")["file"] == "product-categories.csv"


def test_milliseconds_that_are_no_number_are_reported(tmp_path: Path) -> None:
    log = make_log(
        lambda user, step: f"{user};NA;{item(user, step)};{'soon' if user >= 30 else step * 9_000};2016-05-01", HEADER
    )
    report = upload(tmp_path, {"train-item-views.csv": log})

    assert (report.state, sample(report, "timestamp_invalid")["found"]) == ("rejected", "soon")


def test_long_numbers_are_no_ids(tmp_path: Path) -> None:
    lines = "".join(f"{row}{'1234567890' * 600}\n" for row in range(1, 9))
    report = upload(tmp_path, {"digits.txt": lines.encode()})

    assert (report.state, report.guess.task if report.guess else None) == ("ready", "text_generation")


def test_words_for_times_of_a_day_are_no_milliseconds(tmp_path: Path) -> None:
    log = make_log(
        lambda user, step: f"{user},{item(user, step)},{1511544070 + step * 60},{('morning', 'evening')[step % 2]}",
        "user,item,timestamp,timeframe",
    )
    report = upload(tmp_path, {"log.csv": log})

    assert (report.state, sample(report, "fields_not_read")["found"]) == ("ready", "not read: timeframe")


def test_a_purchase_in_the_first_row_is_no_column_name(tmp_path: Path) -> None:
    lines = [f"{5250 + n % 20},Game {n * 7 % 31},{('purchase', 'play')[n % 2]},{n % 9}.5,0" for n in range(200)]
    report = upload(tmp_path, {"steam-200k.csv": "\n".join(lines).encode()})
    assert report.guess is not None
    assert dict(report.guess.columns) == {"user": 1, "item": 2, "event": 3}
