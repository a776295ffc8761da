"""Text classification from a file to predictions."""

from pathlib import Path

from ml.data.importing.importer import import_dataset
from ml.encoders.text import TextEncoder
from ml.inference.predictor import Predictor
from ml.tasks import TASKS
from tests.support.ml.digits import run, spec

GOOD, BAD = ("很好", "精彩", "感人", "我喜欢"), ("很差", "无聊", "难看", "我讨厌")
SUBJECTS = ("这部电影", "那个演员", "它的音乐", "整个故事", "她的表演", "这本书", "结尾", "他的新作品")


def _import(folder: Path) -> Path:
    """Import good and bad reviews in the encoding of a Chinese spreadsheet."""
    rows = [f"{subject}{word}。\t{label}" for subject in SUBJECTS for words, label in ((GOOD, "好"), (BAD, "坏"))
            for word in words]  # fmt: skip
    rows.append("\t".join(["".join(f"第{number}章很好" for number in range(90)), "好"]))
    (folder / "评论.tsv").write_bytes(("文本\t标签\n" + "\n".join(rows)).encode("gb18030"))
    report = import_dataset(
        [folder / "评论.tsv"],
        folder / "dataset",
        task="text_classification",
        columns={"text": "文本", "label": "标签"},
        tasks=TASKS,
    )
    assert report.state == "ready", report.errors
    assert report.classes == ["坏", "好"]
    return folder / "dataset"


def test_chinese_texts_are_classified_and_truncation_is_reported(tmp_path: Path) -> None:
    request = spec(
        "finetune",
        task="text_classification",
        architecture={"name": "rnn", "config": {"width": 32, "dropout": 0.0}},
        encoders={"text": {"max_length": 40}},
        schedule={"epochs": 12, "batch_size": 8, "learning_rate": 0.01},
    )
    result = run(_import(tmp_path), tmp_path / "run", request)
    truncated = [split.get("text", {}).get("cut to 40 tokens", 0) for split in result.report["truncation"].values()]
    assert sum(truncated) == 1
    assert all(set("好坏") >= {error["label"]} and error["text"] for error in result.report["errors"])
    assert isinstance(result.package.encoders()["text"], TextEncoder)
    predictor = Predictor.load(result.package)
    assert predictor.engine == "onnxruntime"
    answers = predictor.predict([{"text": "这个故事很好。"}, {"text": "她的作品很无聊。"}, "我喜欢".encode()])
    assert [answer["label"] for answer in answers] == ["好", "坏", "好"]
