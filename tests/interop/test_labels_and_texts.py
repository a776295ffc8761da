"""Labels and pairs of texts that tools have written."""

from ml.data.dataset import Dataset
from tests.interop.writers.scene import COUNT, TRAIN_COUNT


def test_webdataset_labels(tmp_path, import_written):
    report = import_written("with_webdataset", "labels", is_zipped=False)

    assert (report.state, report.classes, report.splits["validation"]) == ("ready", ["0", "1"], COUNT - TRAIN_COUNT)


def test_translate_toolkit(tmp_path, import_written):
    report = import_written("with_translate_toolkit", "tmx", is_zipped=False)

    assert report.state == "ready"
    dataset = Dataset.open(tmp_path / "dataset")
    pairs = {(row["text"], row["target"]) for split in report.splits for row in dataset.rows(split)}
    assert pairs == {(f"Sentence {number} & <more>", f"Satz {number} & <mehr>") for number in range(COUNT)}


def test_hugging_face_translations_have_the_declared_direction(tmp_path, import_written):
    report = import_written("with_hugging_face", "translation", is_zipped=False)

    assert (report.state, report.splits["validation"]) == ("ready", COUNT - TRAIN_COUNT)
    for row in Dataset.open(tmp_path / "dataset").rows("validation"):
        assert (row["text"][:2], row["target"][:8]) == ("\u53e5\u5b50", "Sentence")
