"""Marks of 0, times of any name and form, ties, sessions and RecBole's splits."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, count, make_parquet, make_zip, sample, upload

USERS, ITEMS = 12, 6
#: Item of each interaction in its true order, by user.
TRUE = {user: [f"i{(user + step) % 9}" for step in range(ITEMS)] for user in range(USERS)}
START = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)


def read(folder: Path, files: dict[str, bytes], **options: Any) -> Any:
    return upload(folder, files, **{"task": "recommendation", **options})


def import_log(folder: Path, split: str) -> list[list[str]]:
    dataset = Dataset.open(folder / "dataset")
    return list(dataset.rows(split).columns["history"]) if split in dataset.summary.splits else []


def make_log(header: str, row: Any, *, reverse: bool = True) -> bytes:
    """Write the interactions in reverse order, so that only times order them."""
    events = [(user, step) for user in TRUE for step in range(ITEMS)]
    events = events[::-1] if reverse else events
    return "\n".join([header, *(row(user, TRUE[user][step], step) for user, step in events), ""]).encode()


@pytest.mark.parametrize("name", ["click", "label", "liked", "is_purchased", "purchased", "bought", "label:float"])
@pytest.mark.parametrize(("no", "yes"), [("0", "1"), ("0.0", "1.0"), ("False", "True")])
def test_a_mark_of_0_is_no_interaction(tmp_path: Path, name: str, no: str, yes: str) -> None:
    lines = make_log(f"user_id,item_id,{name},timestamp", lambda user, item, step: f"{user},{item},{yes},{step}")
    shown = "".join(f"{user},shown{user},{no},99\n" for user in TRUE).encode()
    report = read(tmp_path, {"log.csv": lines + shown})
    assert report.state == "ready", report.errors
    assert count(report, "interactions_negative") == USERS
    assert sorted(import_log(tmp_path, "test")) == sorted(TRUE.values())
    assert f"{USERS} interactions not read" in report.reading


def test_ratings_of_0_and_1_are_marks_and_other_ratings_are_not(tmp_path: Path) -> None:
    for name, low in (("marks", "0"), ("stars", "0.5")):
        lines = make_log("user,item,rating,timestamp", lambda user, item, step: f"{user},{item},1,{step}")
        report = read(tmp_path / name, {"log.csv": lines + f"1,shown,{low},99\n".encode()})
        assert ("interactions_negative" in codes(report)) == (name == "marks")
        assert ("ratings_not_used" in codes(report)) == (name == "stars")
        assert any("shown" in row for row in import_log(tmp_path / name, "test")) == (name == "stars")


def test_a_mark_that_is_no_number_is_an_error_and_counts_are_no_marks(tmp_path: Path) -> None:
    lines = make_log("user,item,click,timestamp", lambda user, item, step: f"{user},{item},1,{step}")
    report = read(tmp_path / "wrong", {"log.csv": lines + b"1,i1,maybe,99\n"})
    assert (report.state, count(report, "signal_invalid")) == ("rejected", 1)
    lines = make_log("user,item,clicks,timestamp", lambda user, item, step: f"{user},{item},{step},{step}")
    report = read(tmp_path / "counts", {"log.csv": lines})
    assert (report.state, sample(report, "fields_not_read")["column"]) == ("ready", "clicks")
    assert sorted(import_log(tmp_path / "counts", "test")) == sorted(TRUE.values())


FORMS = {
    "ISO": "%Y-%m-%dT%H:%M:%S",
    "ISO with blank": "%Y-%m-%d %H:%M",
    "ISO date": "%Y-%m-%d",
    "compact": "%Y%m%d",
    "US": "%m/%d/%Y",
    "US with clock": "%m/%d/%Y %I:%M:%S %p",
    "US, two digits": "%m/%d/%y %H:%M",
    "day first": "%d/%m/%Y %H:%M",
    "German": "%d.%m.%Y",
    "German with clock": "%d.%m.%Y %H:%M:%S",
    "words": "%b %d %Y",
    "words with comma": "%d %B %Y",
    "mail": "%a, %d %b %Y %H:%M:%S +0000",
}


@pytest.mark.parametrize("form", [name for name in FORMS if name not in ("compact", "words")])
@pytest.mark.parametrize("name", ["bought_at", "date", "Kaufdatum"])
def test_times_are_read_in_any_usual_form_under_any_name(tmp_path: Path, form: str, name: str) -> None:
    def row(user: int, item: str, step: int) -> str:
        time = START.replace(month=3 + step // 2, day=2 + 11 * (step % 2) + user % 3)
        return f"{user};{item};4.99;{time.strftime(FORMS[form])}"

    report = read(tmp_path, {"log.csv": make_log(f"user;item;price;{name}", row)})
    assert report.state == "ready", report.errors
    assert sorted(import_log(tmp_path, "test")) == sorted(TRUE.values())
    assert report.guess.columns["timestamp"] == name
    assert "times_ambiguous" not in codes(report)
    assert sample(report, "fields_not_read")["column"] == "price"


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000])
def test_numbers_are_times_by_their_values_and_ids_are_not(tmp_path: Path, unit: int) -> None:
    def row(user: int, item: str, step: int) -> str:
        return f"{user},{item},{1_700_000_000 - step},{(1_700_000_000 + step) * unit}"

    report = read(tmp_path, {"log.csv": make_log("user,item,order_id,bought", row)})
    assert report.guess.columns["timestamp"] == "bought"
    assert sorted(import_log(tmp_path, "test")) == sorted(TRUE.values())


def test_dates_that_leave_day_and_month_open_are_reported(tmp_path: Path) -> None:
    lines = make_log("user,item,date", lambda user, item, step: f"{user},{item},0{1 + step}/05/2026")
    report = read(tmp_path / "open", {"log.csv": lines})
    assert (report.state, count(report, "times_ambiguous")) == ("ready", USERS * (ITEMS - 1))
    assert sorted(import_log(tmp_path / "open", "test")) == sorted(TRUE.values())
    mixed = read(tmp_path / "mixed", {"log.csv": lines + b"1,i1,13/05/2026\n1,i2,05/13/2026\n"})
    assert (mixed.state, count(mixed, "timestamp_invalid")) == ("rejected", 1)


def test_interactions_at_one_time_stay_in_file_order_and_their_fraction_is_reported(tmp_path: Path) -> None:
    lines = make_log(
        "user,item,date", lambda user, item, step: f"{user},{item},2026-01-0{1 + step // 4}", reverse=False
    )
    report = read(tmp_path, {"log.csv": lines})
    assert sorted(import_log(tmp_path, "test")) == sorted(TRUE.values())
    assert (count(report, "times_equal"), sample(report, "times_equal")["found"]) == (72, "100.0% of 72 interactions")
    unequal = read(
        tmp_path / "unequal", {"log.csv": make_log("user,item,ts", lambda user, item, step: f"{user},{item},{step}")}
    )
    assert "times_equal" not in codes(unequal)


def make_recbole_splits() -> dict[str, bytes]:
    """Write the files that RecBole's `benchmark_filename` names, for sequential recommendation."""
    parts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for user, items in TRUE.items():
        for end in range(1, ITEMS):
            part = "test" if end == ITEMS - 1 else "valid" if end == ITEMS - 2 else "train"
            parts[part].append(f"{user}\t{' '.join(items[:end])}\t{items[end]}")
    header = "user_id:token\titem_id_list:token_seq\titem_id:token"
    return {f"ml.{part}.inter": "\n".join([header, *rows, ""]).encode() for part, rows in parts.items()}


@pytest.mark.parametrize("task", [None, "recommendation"])
def test_recboles_lists_of_items_are_histories_of_their_split(tmp_path: Path, task: str | None) -> None:
    report = read(tmp_path, make_recbole_splits(), task=task)
    assert report.state == "ready", report.errors
    assert sorted(import_log(tmp_path, "test")) == sorted(TRUE.values())
    assert sorted(import_log(tmp_path, "validation")) == sorted(items[:-1] for items in TRUE.values())
    assert report.splits == {"train": USERS * 3, "validation": USERS, "test": USERS}
    assert "history = item_id_list:token_seq" in report.reading


@pytest.mark.parametrize("cell", ["a b c d{}", "[1, 2, 3, {}]", '["x", "y", "z{}"]', "7|8|9{}"])
def test_sessions_in_a_column_are_histories(tmp_path: Path, cell: str) -> None:
    rows = [f"{row}\t{cell.format(row % 5)}" for row in range(30)]
    report = read(tmp_path, {"sessions.tsv": "\n".join(["session_id\titems", *rows, ""]).encode()})
    assert report.state == "ready", report.errors
    assert len(import_log(tmp_path, "test")) == 30
    assert all(len(items) >= 3 for items in import_log(tmp_path, "test"))


def test_lists_in_parquet_are_histories(tmp_path: Path) -> None:
    data = make_parquet({"session": list(range(30)), "items": [["a", "b", f"c{row % 4}"] for row in range(30)]})
    report = read(tmp_path, {"sessions.parquet": data})
    assert report.state == "ready", report.errors
    assert sorted(import_log(tmp_path, "test"))[0] == ["a", "b", "c0"]


def test_the_session_is_the_user_where_users_are_blank(tmp_path: Path) -> None:
    """Diginetica's clicks: most sessions have no user."""
    lines = make_log(
        "sessionId;userId;itemId;timeframe;eventdate",
        lambda user, item, step: f"{user};NA;{item};{step};2026-01-{1 + step:02d}",
    )
    report = read(tmp_path, {"train-item-views.csv": lines})
    assert report.state == "ready", report.errors
    assert sorted(import_log(tmp_path, "test")) == sorted(TRUE.values())


def test_lines_of_items_are_sessions_or_those_of_numbered_users(tmp_path: Path) -> None:
    """Kosarak has a session per line, LightGCN a user and all items of one split."""
    sessions = "".join(f"{5 + row % 7} {row % 3} {row % 4 + 10}{' 3' * (row % 2)}\n" for row in range(40))
    report = read(tmp_path / "sessions", {"kosarak.dat": sessions.encode()})
    assert (report.state, len(import_log(tmp_path / "sessions", "test"))) == ("ready", 40)
    assert "history = the line" in report.reading
    train = "".join(f"{user} {' '.join(str(item) for item in range(user % 3 + 3))}\n" for user in range(20))
    test = "".join(f"{user} {' '.join(str(item) for item in range(5, 6 + user % 2))}\n" for user in range(20))
    report = read(tmp_path / "users", {"train.txt": train.encode(), "test.txt": test.encode()})
    assert report.state == "ready", report.errors
    assert import_log(tmp_path / "users", "train")[0] == ["0", "1", "2"]
    assert import_log(tmp_path / "users", "test")[0] == ["0", "1", "2", "5"]


def lastfm_lines(row: str) -> bytes:
    """Return listens from the latest to the first, without column names."""
    events = [(user, step) for user in TRUE for step in range(ITEMS)][::-1]
    values = ({"user": user, "step": step, "item": TRUE[user][step]} for user, step in events)
    return "".join(row.format(**value) + "\n" for value in values).encode()


def test_a_log_of_last_fm_has_no_column_names_and_asks_for_the_item(tmp_path: Path) -> None:
    row = "user_{user:06}\t2009-05-0{step}T23:08:57Z\tm{item}\tartist {item}\tx{item}\t{item}"
    row = row.replace("{step}", "{step:1}").replace("05-0", "05-1")
    log = {"userid-timestamp-artid-traname.tsv": lastfm_lines(row)}
    report = read(tmp_path / "asked", log)
    assert (report.state, codes(report)) == ("rejected", {"column_missing"})
    assert "by its position" in sample(report, "column_missing")["expected"]

    report = read(tmp_path / "named", log, columns={"item": 6})
    assert (report.state, report.guess.columns) == ("ready", {"user": 1, "timestamp": 2, "item": 6})
    assert sorted(import_log(tmp_path / "named", "test")) == sorted(TRUE.values())


def test_three_columns_without_names_may_have_the_date_in_the_middle(tmp_path: Path) -> None:
    report = read(tmp_path, {"log.tsv": lastfm_lines("user_{user}\t2009-05-1{step}T23:08:57Z\t{item}")})
    assert report.guess.columns == {"user": 1, "timestamp": 2, "item": 3}
    assert sorted(import_log(tmp_path, "test")) == sorted(TRUE.values())


def columns_of(folder: Path, split: str) -> dict[str, list[Any]]:
    rows = Dataset.open(folder / "dataset").rows(split)
    return {name: list(column) for name, column in rows.columns.items()}


EVENT_LOG = b"""user,item,behavior,rating,weight,timestamp
ann,a,View,3,1,1
ann,a,purchase,4,2,2
ann,b,view,,,3
ann,c,view,5,0.5,4
ann,d,,1,1,5
bob,a,view,2,1,1
bob,b,view,2,1,2
bob,b,view,2,1,2
bob,c,view,2,1,3
"""


def test_events_ratings_and_weights_stay_with_their_items(tmp_path: Path) -> None:
    report = read(tmp_path, {"log.csv": EVENT_LOG})
    assert report.state == "ready", report.errors
    test = columns_of(tmp_path, "test")
    assert test["user"] == ["ann", "bob"]
    assert test["history"] == [["a", "b", "c", "d"], ["a", "b", "c"]]
    assert test["events"] == [["purchase", "view", "view", ""], ["view", "view", "view"]]
    assert test["ratings"][0] == [4.0, None, 5.0, 1.0]
    assert test["weights"][0] == [2.0, None, 0.5, 1.0]
    assert [names[:2] for names in columns_of(tmp_path, "train")["events"]] == [["purchase", "view"], ["view"]]
    assert count(report, "events_merged") == 1, "the view of ann that ended in a purchase"
    assert count(report, "interactions_duplicate") == 1
    assert Dataset.open(tmp_path / "dataset").summary.facts["events"]["events"] == ["purchase", "view"]


def test_a_log_without_events_and_ratings_has_users_alone(tmp_path: Path) -> None:
    read(tmp_path, {"log.csv": make_log("user,item,timestamp", lambda user, item, step: f"{user},{item},{step}")})
    assert columns_of(tmp_path, "train").keys() == {"history", "user"}


@pytest.mark.parametrize(
    ("column", "cell", "code", "expected"),
    [
        ("weight", "-1", "weight_invalid", "from 0"),
        ("weight", "much", "weight_invalid", "from 0"),
        ("event", "e" * 61, "event_invalid", "60 characters"),
    ],
)
def test_a_wrong_weight_or_event_is_reported_at_its_row(
    tmp_path: Path, column: str, cell: str, code: str, expected: str
) -> None:
    lines = make_log(f"user,item,{column},timestamp", lambda user, item, step: f"{user},{item},1,{step}")
    report = read(tmp_path, {"log.csv": lines + f"1,i1,{cell},99\n".encode()})
    issue = sample(report, code)
    assert (report.state, issue["row"]) == ("rejected", USERS * ITEMS + 1)
    assert expected in issue["expected"]


def test_a_column_of_too_many_names_is_no_column_of_events(tmp_path: Path) -> None:
    lines = make_log("user,item,event,timestamp", lambda user, item, step: f"{user},{item},view,{step}")
    many = b"".join(b"99,i%d,name%d,%d\n" % (step % 7, step, step) for step in range(101))
    report = read(tmp_path, {"log.csv": lines + many})
    assert (report.state, "events_not_used" in codes(report)) == ("ready", True)
    assert "events" not in columns_of(tmp_path, "train")


def test_a_name_in_the_place_of_a_rating_asks_for_the_columns(tmp_path):
    rows = "".join(f"u{user}\t{item}\tBand {item}\t{step}\n" for user in TRUE for step, item in enumerate(TRUE[user]))
    report = read(tmp_path, {"plays.tsv": rows.encode()})

    assert (report.state, codes(report)) == ("rejected", {"column_missing"})
    report = read(tmp_path / "named", {"plays.tsv": rows.encode()}, columns={"user": 1, "item": 2, "weight": 4})
    assert (report.state, report.guess.columns) == ("ready", {"user": 1, "item": 2, "weight": 4})


def test_lines_of_many_ids_are_histories(tmp_path):
    lines = "".join(f"{user} " + " ".join(str((user + step) % 9) for step in range(6)) + "\n" for user in TRUE)
    report = read(tmp_path, {"train.txt": lines.encode()})

    assert (report.state, report.guess.columns) == ("ready", {"user": 1, "history": "2 to the last"})
    assert import_log(tmp_path, "test")[0] == [str(step) for step in range(6)]


def user_lines(items, users=range(60)):
    return "".join(f"{user} {' '.join(map(str, items(user)))}\n" for user in users).encode()


LIGHTGCN = {
    "two items a user": (lambda user: (user * 7 % 50 + 11, user * 3 % 40 + 61), lambda user: [user + 200]),
    "as many as there are": (lambda user: [user + 100 + item for item in range(1 + user % 4)], lambda user: [user + 7]),
}


@pytest.mark.parametrize("packing", ["loose", "zip"])
@pytest.mark.parametrize("task", [None, "sequential_recommendation", "recommendation"])
@pytest.mark.parametrize("name", LIGHTGCN)
def test_lines_of_a_user_and_its_items_are_a_log(tmp_path, name, task, packing):
    train, test = LIGHTGCN[name]
    tested = [user for user in range(60) if user % 3]  # the files of the field leave out users without items
    names = b"org_id remap_id\n" + b"".join(b"u%d %d\n" % (user, user) for user in range(60))
    files = {"train.txt": user_lines(train), "test.txt": user_lines(test, tested), "user_list.txt": names}
    files = {"gowalla.zip": make_zip(files.items())} if packing == "zip" else files
    report = upload(tmp_path, files, task=task)

    assert report.summary is not None
    assert (report.state, report.summary.format, report.splits["test"]) == ("ready", "interactions", len(tested))
    assert sample(report, "file_not_a_log")["file"].endswith("user_list.txt")
    rows = Dataset.open(tmp_path / "dataset").rows("test").columns
    assert list(rows["history"][0]) == [*map(str, train(1)), *map(str, test(1))]


def test_pairs_of_a_user_and_an_item_are_a_log_as_in_sasrec(tmp_path: Path) -> None:
    lines = [f"{user} {(user * 7 + step * 5) % 23 + 1}" for user in range(1, 13) for step in range(8)]
    report = upload(tmp_path / "log", {"ml-1m.txt": "\n".join([*lines, ""]).encode()})
    assert (report.guess and report.guess.task, report.splits["test"]) == ("recommendation", 12)
    numbers = [f"{row} {row * 2}" for row in range(60)]
    report = upload(tmp_path / "numbers", {"table.txt": "\n".join([*numbers, ""]).encode()})
    assert (report.guess and report.guess.format) != "interactions"
