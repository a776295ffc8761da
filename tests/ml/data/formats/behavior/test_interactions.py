"""Interaction logs: all layouts yield the same histories, and training sees no later items."""

import json
from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import Dataset
from tests.support.ml import dataset_files
from tests.support.repository import SHARED_DATA

MOVIELENS = SHARED_DATA / "movielens-latest-small" / "ratings.csv"

#: User 7 is out of order, user 9 too short to hold anything out.
EVENTS = [
    ("7", "10", 4.0, 100),
    ("7", "30", 3.0, 300),
    ("7", "20", 5.0, 200),
    ("7", "40", 1.0, 400),
    ("8", "20", 2.0, 50),
    ("8", "10", 2.0, 60),
    ("8", "50", 4.5, 70),
    ("9", "10", 4.0, 1),
    ("9", "20", 4.0, 2),
]
TRAIN = [["10", "20"], ["20"], ["10", "20"]]
VALIDATION = [["10", "20", "30"], ["20", "10"]]
TEST = [["10", "20", "30", "40"], ["20", "10", "50"]]


def imported_rows(folder: Path, split: str) -> list[list[str]]:
    return list(Dataset.open(folder / "dataset").rows(split).columns["history"])


def make_table(delimiter: str = ",", *, header: str | None = None, newline: str = "\n", events: Any = EVENTS) -> bytes:
    lines = [delimiter.join(map(str, event)) for event in events]
    return newline.join([*([header] if header else []), *lines, ""]).encode()


def read(folder: Path, files: dict[str, bytes], **options: Any) -> Any:
    return dataset_files.upload(folder, files, **{"format": "interactions", **options})


LAYOUTS = {
    "MovieLens latest": {"ratings.csv": make_table(header="userId,movieId,rating,timestamp", newline="\r\n")},
    "MovieLens 100k": {"u.data": make_table("\t")},
    "MovieLens 1M": {"ratings.dat": make_table("::")},
    "a zip of MovieLens": {
        "ml.zip": dataset_files.make_zip(
            [
                ("ml/ratings.csv", make_table(header="userId,movieId,rating,timestamp")),
                ("ml/movies.csv", b"movieId,title,genres\n10,Heat,Crime\n"),
                ("ml/README.txt", b"hello"),
            ]
        )
    },
    "RecBole": {"x.inter": make_table("\t", header="user_id:token\titem_id:token\trating:float\ttimestamp:float")},
    "JSON lines": {
        "log.jsonl": "".join(
            json.dumps({"user": user, "item": int(item), "timestamp": time}) + "\n" for user, item, _, time in EVENTS
        ).encode()
    },
    "Parquet": {
        "log.parquet": dataset_files.make_parquet(
            {
                "user_id": [int(event[0]) for event in EVENTS],
                "item_id": [float(event[1]) for event in EVENTS],
                "timestamp": [event[3] for event in EVENTS],
            }
        )
    },
    "two files": {
        "ratings1.csv": make_table(header="userId,movieId,rating,timestamp", events=EVENTS[:3]),
        "ratings2.csv": make_table(header="userId,movieId,rating,timestamp", events=EVENTS[3:]),
    },
}


@pytest.mark.parametrize("files", list(LAYOUTS.values()), ids=list(LAYOUTS))
def test_all_layouts_yield_the_same_histories(files: dict[str, bytes], tmp_path: Path) -> None:
    report = read(tmp_path, files)

    assert report.state == "ready", report.errors
    assert [sorted(imported_rows(tmp_path, split)) for split in ("train", "validation", "test")] == [
        sorted(expected) for expected in (TRAIN, VALIDATION, TEST)
    ]
    assert dataset_files.count(report, "interactions_sorted") == 1
    assert dataset_files.count(report, "history_short") == 1
    assert report.summary.facts["history"]["items"] == 5


LISTS_OF_USERS = {
    "JSON lines": {
        "sessions.jsonl": b"""{"user": "ann", "items": ["i1", "i2"], "city": "Ulm"}
{"user": "bob", "items": ["i2", "i4", "i1"]}
{"user": "ann", "items": ["i3", "i4"]}"""
    },
    "CSV": {"sessions.csv": b"user_id,history\nann,i1 i2\nbob,i2 i4 i1\nann,i3 i4\n"},
}


@pytest.mark.parametrize("files", list(LISTS_OF_USERS.values()), ids=list(LISTS_OF_USERS))
def test_lists_of_items_of_one_user_are_one_history_with_its_user(files: dict[str, bytes], tmp_path: Path) -> None:
    report = dataset_files.upload(tmp_path, files, task=None)

    assert report.state == "ready", report.errors
    columns = Dataset.open(tmp_path / "dataset").rows("test").columns
    histories = dict(zip(columns["user"], columns["history"], strict=True))
    assert histories == {"ann": ["i1", "i2", "i3", "i4"], "bob": ["i2", "i4", "i1"]}
    assert ("fields_not_read" in dataset_files.all_codes(report)) == ("sessions.jsonl" in files)


def test_sessions_with_an_id_stay_apart_and_prose_is_no_history(tmp_path: Path) -> None:
    sessions = {"sessions.csv": b"session_id,items\ns1,i1 i2 i3\ns2,i2 i3 i1\ns1,i3 i1 i2\n"}
    assert read(tmp_path, sessions).state == "ready"
    assert len(imported_rows(tmp_path, "test")) == 3
    prose = b"patient_id,history\np1,pain since 2019\np2,no pain any more\n"
    report = dataset_files.upload(tmp_path / "prose", {"notes.csv": prose}, task=None)
    assert "history" not in report.summary.columns


def test_sessions_are_imported_as_histories(tmp_path: Path) -> None:
    lines = [["a", "b", "c"], {"user": 3, "history": [1, 2.0, "x"]}, {"items": ["a", "b"]}]
    report = read(tmp_path, {"sessions.jsonl": "\n".join(map(json.dumps, lines)).encode()})

    assert report.state == "ready", report.errors
    assert sorted(imported_rows(tmp_path, "test")) == [["1", "2", "x"], ["a", "b", "c"]]
    assert sorted(imported_rows(tmp_path, "train")) == [["1"], ["a"], ["a", "b"]]


def test_a_log_is_detected_by_its_column_names(tmp_path: Path) -> None:
    report = dataset_files.upload(tmp_path, LAYOUTS["MovieLens latest"])

    assert report.guess.format == "interactions"
    assert report.guess.columns == {"item": "movieId", "rating": "rating", "timestamp": "timestamp", "user": "userId"}


TIMED = [(user, item, rating, 880_000_000 + time) for user, item, rating, time in EVENTS]


@pytest.mark.parametrize(
    "files",
    [
        {"u.data": make_table("\t", events=TIMED)},
        {"Digital_Music.csv": make_table(events=TIMED)},
        {"log.csv": make_table(events=[(user, item, time) for user, item, _, time in TIMED])},
        LAYOUTS["Parquet"],
        {"sessions.jsonl": b'["a", "b", "c"]\n[1, 2, "x"]\n'},
    ],
    ids=lambda files: next(iter(files)),
)
def test_a_log_without_header_is_detected_by_its_times_and_a_session_by_its_list(files: Any, tmp_path: Path) -> None:
    report = dataset_files.upload(tmp_path, files)

    assert (report.state, report.guess.format, report.guess.task) == ("ready", "interactions", "recommendation")


@pytest.mark.parametrize("line", ["1,a fine film,880000001", "3,4,5,6", "7,it was good,2,880000001", "[a, b],c,d"])
def test_other_tables_are_not_detected_as_logs(line: str, tmp_path: Path) -> None:
    report = dataset_files.upload(tmp_path, {"a.csv": f"{line}\n".encode() * 30})

    assert report.guess.format == "csv"


def test_product_reviews_are_texts_unless_the_format_is_named(tmp_path: Path) -> None:
    lines = [f"{row % 5},{row % 7},fine {row},{'good' if row % 2 else 'bad'}" for row in range(40)]
    data = "\n".join(["user_id,product_id,review,label", *lines, ""]).encode()

    assert dataset_files.upload(tmp_path / "without format", {"reviews.csv": data}).guess.format == "csv"
    assert read(tmp_path / "with format", {"reviews.csv": data}).guess.format == "interactions"


def test_columns_with_unusual_names_can_be_chosen(tmp_path: Path) -> None:
    data = make_table(header="who,what,how,when")
    columns = {"user": "who", "item": "what", "timestamp": "when"}

    assert read(tmp_path, {"log.csv": data}, columns=columns).state == "ready"
    assert sorted(imported_rows(tmp_path, "test")) == sorted(TEST)


def test_a_random_split_is_rejected_with_its_reason(tmp_path: Path) -> None:
    report = read(tmp_path, LAYOUTS["MovieLens 100k"], splits={"train": 0.8, "validation": 0.1, "test": 0.1})

    assert report.state == "rejected"
    (entry,) = [entry for entry in report.errors if entry.code == "splits_at_random"]
    assert "later interactions" in entry.hint


def test_without_times_the_order_of_the_file_decides(tmp_path: Path) -> None:
    events = [event[:2] for event in EVENTS]
    report = read(tmp_path, {"log.csv": make_table(header="user,item", events=events)})

    assert ["10", "30", "20", "40"] in imported_rows(tmp_path, "test")
    assert dataset_files.count(report, "interactions_without_time") == len(EVENTS)


def test_mixed_seconds_and_milliseconds_are_converted_and_reported(tmp_path: Path) -> None:
    events = [("1", "a", 1, 1_700_000_000), ("1", "c", 1, 1_700_000_200_000), ("1", "b", 1, 1_700_000_100)]
    report = read(tmp_path, {"log.csv": make_table(events=events)})

    assert imported_rows(tmp_path, "test") == [["a", "b", "c"]]
    sample = dataset_files.sample(report, "timestamps_mixed_units")
    assert sample["found"] == "1700000200000 (milliseconds)"
    assert sample["expected"] == "seconds"
    assert sample["line"] == 2


def test_dates_are_read_as_times(tmp_path: Path) -> None:
    data = b"user,item,date\n1,a,2026-01-03\n1,b,2026-01-01T10:00:00Z\n1,c,2026-01-02 08:00\n"
    read(tmp_path, {"log.csv": data})

    assert imported_rows(tmp_path, "test") == [["b", "c", "a"]]


def test_an_invalid_time_is_an_error_with_its_location(tmp_path: Path) -> None:
    report = read(tmp_path, {"log.csv": b"user,item,timestamp\n1,a,1\n1,b,soon\n1,c,3\n"})

    assert report.state == "rejected"
    sample = dataset_files.sample(report, "timestamp_invalid")
    assert (sample["line"], sample["row"], sample["found"]) == (3, 2, "soon")


def test_ids_written_as_floats_lose_their_fraction(tmp_path: Path) -> None:
    report = read(tmp_path, {"log.csv": b"user,item,timestamp\n1.0,5.0,1\n1.0,6.0,2\n1.0,7.0,3\n"})

    assert imported_rows(tmp_path, "test") == [["5", "6", "7"]]
    assert dataset_files.sample(report, "ids_as_floats")["found"] == "5.0"


def test_item_names_that_look_like_floats_stay_among_others(tmp_path: Path) -> None:
    read(tmp_path, {"log.csv": b"user,item,timestamp\n1,v1.0,1\n1,2.0,2\n1,x,3\n"})

    assert imported_rows(tmp_path, "test") == [["v1.0", "2.0", "x"]]


def test_duplicate_events_are_dropped_and_repeated_items_stay(tmp_path: Path) -> None:
    data = b"user,item,timestamp\n1,a,1\n1,a,1\n1,b,2\n1,a,3\n"
    report = read(tmp_path, {"log.csv": data})

    assert imported_rows(tmp_path, "test") == [["a", "b", "a"]]
    assert dataset_files.count(report, "interactions_duplicate") == 1
    assert dataset_files.count(report, "interactions_repeated") == 1


def test_events_without_user_or_item_are_left_out_and_counted(tmp_path: Path) -> None:
    data = b"user,item,timestamp\n,a,1\n1,,2\n1,b,3\n1,c,4\n1,d,\n1,e,6\n"
    report = read(tmp_path, {"log.csv": data})

    assert report.state == "ready"
    assert imported_rows(tmp_path, "test") == [["b", "c", "e"]]
    assert [dataset_files.count(report, code) for code in ("user_missing", "item_missing", "timestamp_missing")] == [
        1,
        1,
        1,
    ]
    assert report.repaired == 3


def test_a_row_with_too_few_cells_is_an_error(tmp_path: Path) -> None:
    report = read(tmp_path, {"log.csv": b"user,item,timestamp\n1,a,1\n1,b\n"})

    assert dataset_files.sample(report, "ragged_row")["line"] == 3


@pytest.mark.parametrize("data", [b"movieId,title\n1,Heat\n2,Alien\n", b'{"movie": 1}\n{"movie": 2}\n'])
def test_a_file_without_users_is_rejected(data: bytes, tmp_path: Path) -> None:
    report = read(tmp_path, {"movies": data})

    assert dataset_files.sample(report, "column_missing")["expected"] == "user"


def test_files_beside_the_log_are_left_out_and_reported(tmp_path: Path) -> None:
    report = read(tmp_path, {**LAYOUTS["MovieLens latest"], "tags.csv": b"userId,movieId,tag\n7,10,noir\n"})

    assert report.state == "ready"
    assert dataset_files.sample(report, "file_not_a_log")["file"] == "tags.csv"


@pytest.mark.skipif(not MOVIELENS.exists(), reason="no MovieLens beside the repository")
def test_movielens_is_read_whole(tmp_path: Path) -> None:
    report = read(tmp_path, {"ratings.csv": MOVIELENS.read_bytes()}, format=None)

    assert report.guess.format == "interactions"
    assert report.splits == {"train": 610, "validation": 610, "test": 610}
    assert sum(map(len, imported_rows(tmp_path, "test"))) == 100_836
    assert report.summary.facts["history"]["items"] == 9_724


def test_a_held_out_item_missing_from_training_is_reported_with_its_row(tmp_path: Path) -> None:
    report = read(tmp_path, {"log.csv": make_table(header="user,item,rating,timestamp")})
    sample = dataset_files.sample(report, "items_not_in_training")
    # Items 30 and 40 of user 7 and 50 of user 8 are only held out.
    assert dataset_files.count(report, "items_not_in_training") == 3
    assert (sample["file"], sample["row"], sample["found"]) == ("log.csv", 1, "30")


RECBOLE = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
RECBOLE_FILES = {
    "x.inter": make_table("\t", header=RECBOLE),
    "x.user": b"user_id:token\tage:token\n7\t20\n8\t21\n9\t22\n",
    "x.item": b"item_id:token\ttitle:token_seq\n10\tHeat\n",
    "x.kg": b"head_id:token\trelation_id:token\ttail_id:token\na\tb\tc\n",
}


@pytest.mark.parametrize("task", [None, "recommendation"])
@pytest.mark.parametrize("is_packed", [True, False])
def test_recboles_log_is_read_and_the_files_beside_it_are_reported(
    is_packed: bool, task: str | None, tmp_path: Path
) -> None:
    members = [(f"x/{name}", content) for name, content in RECBOLE_FILES.items()]
    files = {"x.zip": dataset_files.make_zip(members)} if is_packed else RECBOLE_FILES

    report = read(tmp_path, files, format=None, task=task)

    assert report.state == "ready", report.errors
    assert dataset_files.count(report, "file_not_a_log") == 2
    assert report.summary.item_table.rows == 1
    assert imported_rows(tmp_path, "test") == TEST


def make_split_files(pattern: str, header: str, delimiter: str, *, is_timed: bool) -> dict[str, bytes]:
    """Make files for the splits, in which the times run against the splits."""
    parts = {"train": ["10", "20", "30"], "valid": ["40"], "test": ["50", "60"]}
    files = {}
    for number, (split, items) in enumerate(parts.items()):
        times = [(str(1000 - 100 * number + index),) if is_timed else () for index in range(len(items))]
        rows = [(user, item, *time) for user in ("7", "8") for item, time in zip(items, times, strict=True)]
        files[pattern.format(split)] = make_table(delimiter, header=header, events=rows)
    return files


@pytest.mark.parametrize(
    "files",
    [
        make_split_files("x.{}.inter", "user_id:token\titem_id:token", "\t", is_timed=False),
        make_split_files("x.{}.inter", "user_id:token\titem_id:token\ttimestamp:float", "\t", is_timed=True),
        make_split_files("{}.csv", "user,item", ",", is_timed=False),
    ],
    ids=["recbole", "recbole-timed", "csv"],
)
@pytest.mark.parametrize("is_packed", [True, False])
def test_files_that_name_splits_hold_the_items_of_these_splits(
    files: dict[str, bytes], is_packed: bool, tmp_path: Path
) -> None:
    files = {"x.zip": dataset_files.make_zip(list(files.items()))} if is_packed else files

    report = read(tmp_path, files)

    assert report.state == "ready", report.errors
    assert imported_rows(tmp_path, "train") == [["10", "20", "30"]] * 2
    assert imported_rows(tmp_path, "validation") == [["10", "20", "30", "40"]] * 2
    assert imported_rows(tmp_path, "test") == [["10", "20", "30", "40", "50"], ["10", "20", "30", "40", "50", "60"]] * 2


def test_requested_splits_of_files_take_precedence_over_their_names(tmp_path: Path) -> None:
    files = {"a.csv": b"user,item\n" + b"1,x\n1,y\n2,x\n2,y\n", "b.csv": b"user,item\n1,z\n2,z\n"}

    report = read(tmp_path, files, splits={"a.csv": "test", "b.csv": "train"})

    assert report.state == "ready", report.errors
    assert sorted(imported_rows(tmp_path, "test")) == [["z", "x"], ["z", "x"], ["z", "x", "y"], ["z", "x", "y"]]


def test_a_split_for_the_only_file_is_an_error(tmp_path: Path) -> None:
    report = read(tmp_path, {"log.csv": make_table(header="user,item,rating,timestamp")}, splits={"log.csv": "test"})

    assert dataset_files.sample(report, "splits_at_random")["expected"].startswith("by time")


def test_sessions_in_files_of_splits_are_one_row_each(tmp_path: Path) -> None:
    files = {"train.jsonl": b'["a", "b", "c"]\n' * 3, "test.jsonl": b'["a", "c", "b", "c"]\n'}

    read(tmp_path, files)

    assert imported_rows(tmp_path, "test") == [["a", "c", "b", "c"]]


def test_a_user_with_very_many_test_items_has_a_limited_number_of_rows(tmp_path: Path) -> None:
    train = b"user,item\n" + b"".join(b"%d,i%d\n" % (user, item) for user in range(3) for item in range(300))
    test = b"user,item\n" + b"".join(b"1,i%d\n" % item for item in range(250))

    report = read(tmp_path, {"train.csv": train, "test.csv": test})

    assert len(imported_rows(tmp_path, "test")) == 100
    assert dataset_files.count(report, "held_out_items_not_used") == 150


def test_the_item_of_a_rating_may_have_any_name(tmp_path):
    rows = "".join(f"{user},{(user * 7 + n * 3) % 31},{n % 5}\n" for user in range(20) for n in range(6))
    report = dataset_files.upload(tmp_path, {"rating.csv": f"user_id,anime_id,rating\n{rows}".encode()})
    assert report.guess is not None
    assert report.guess.columns["item"] == "anime_id"


def test_a_table_of_users_beside_a_log_is_not_read(tmp_path):
    rows = "".join(f"u{user},{(user * 7 + n * 3) % 31}\n" for user in range(20) for n in range(6))
    users = "".join(f"u{user},30\n" for user in range(20))
    files = {
        "sales.csv": f"customer_id,article_id\n{rows}".encode(),
        "people.csv": f"customer_id,age\n{users}".encode(),
    }
    report = dataset_files.upload(tmp_path, files)
    assert report.state == "ready"
    assert dataset_files.sample(report, "file_not_a_log")["file"] == "people.csv"


def test_the_netflix_prize_is_read_without_its_lists_for_predictions(tmp_path):
    blocks = [
        f"{item}:\n" + "".join(f"{user},{user % 5 + 1},2005-09-{(user + item) % 28 + 1:02d}\n" for user in range(1, 31))
        for item in range(1, 9)
    ]
    files = {
        "combined_data_1.txt": "".join(blocks).encode(),
        "probe.txt": b"1:\n5\n",
        "qualifying.txt": b"1:\n5,2005-01-01\n",
    }
    report = dataset_files.upload(tmp_path, {"netflix.zip": dataset_files.make_zip(files.items())})
    assert report.guess is not None
    assert report.guess.task == "recommendation"
    assert dataset_files.count(report, "file_not_a_log") == 2


def test_items_drawn_for_an_evaluation_are_not_read(tmp_path):
    rows = "".join(f"{user}\t{(user * 7 + n * 3) % 31}\t1\t{n + 10**9}\n" for user in range(20) for n in range(6))
    files = {"ncf.train.rating": rows.encode(), "ncf.test.negative": b"(0,5)\t1\t2\t3\n"}
    assert (
        dataset_files.sample(dataset_files.upload(tmp_path, files), "list_not_learned")["file"] == "ncf.test.negative"
    )


def test_the_item_that_follows_a_history_is_read(tmp_path):
    rows = [{"user_id": user, "history": [user + n for n in range(5)], "target": user + 5} for user in range(30)]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    files = {"a.jsonl": "\n".join(map(json.dumps, rows)).encode(), "a.parquet": dataset_files.make_parquet(columns)}
    for name, data in files.items():
        report = dataset_files.upload(tmp_path / name, {name: data})
        assert report.guess is not None
        assert report.guess.columns["item"] == "target"
        last = {history[-1] for history in Dataset.open(tmp_path / name / "dataset").rows("test").columns["history"]}
        assert last <= {str(user + 5) for user in range(30)}


def test_pairs_of_sentences_are_no_sessions(tmp_path):
    lines = [json.dumps([f"when was it {row}", f"It was in the year {row} they say."]) for row in range(40)]
    report = dataset_files.upload(tmp_path, {"pairs.jsonl": "\n".join(lines).encode()})
    assert report.guess is not None
    assert report.guess.task == "translation"
    assert Dataset.open(tmp_path / "dataset").rows("train").columns["text"][0].startswith("when was it ")
