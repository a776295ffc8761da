from tests.support.ml.dataset_files import count, make_parquet, sample, upload

ROWS = 60
LINES = "".join(f"what a day it was {row}\t{('0', '1', '2', '0,2')[row % 4]}\tid{row}\n" for row in range(ROWS))


def test_rows_of_several_classes_are_left_out_and_counted(tmp_path):
    report = upload(tmp_path, {"train.tsv": LINES.encode()})
    assert report.guess is not None
    assert (report.guess.task, report.classes) == ("text_classification", ["0", "1", "2"])
    assert count(report, "several_labels_left_out") == ROWS // 4
    assert sum(report.splits.values()) == ROWS - ROWS // 4


def test_a_list_beside_the_table_names_the_classes(tmp_path):
    report = upload(tmp_path, {"train.tsv": LINES.encode(), "emotions.txt": b"anger\njoy\nfear\n"})
    assert report.classes == ["anger", "fear", "joy"]
    assert sample(report, "classes_named_by_list")["file"] == "emotions.txt"


def test_a_list_of_one_class_is_the_class(tmp_path):
    texts = [f"what a day it was {row}" for row in range(ROWS)]
    report = upload(
        tmp_path, {"a.parquet": make_parquet({"text": texts, "labels": [[row % 3] for row in range(ROWS)]})}
    )
    assert (report.state, report.classes) == ("ready", ["0", "1", "2"])
