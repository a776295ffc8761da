"""Few audio clips, judged on new speakers: the default recipes beside simpler ones.

540 clips of ten words (FSDD) by four speakers are trained on, and 270 by the two others are the test, for each of three
pairs of speakers. `before` is the recipe without its adjustments for few clips; `regression` is scikit-learn's logistic
regression over the log spectrogram, stretched to one length. For one word a clip, the word error rate of speech
recognition compares with the error rate of classification.

    python -m benchmarks.tasks.new_speakers                             every pair, both tasks, both ways
    python -m benchmarks.tasks.new_speakers --pairs 0 --tasks audio_classification --ways now
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.dataset import Dataset
from ml.data.importing.importer import import_dataset
from ml.encoders.log_mel import LogMelEncoder
from ml.learning.pipeline.train import train
from ml.spec.schema import Spec
from ml.tasks import TASKS
from tests.support.repository import SHARED_DATA

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA: Final = SHARED_DATA / "fsdd" / "recordings"
WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPEAKERS: Final = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
#: Speakers of the test.
PAIRS: Final = (("theo", "nicolas"), ("george", "jackson"), ("lucas", "yweweler"))
#: Takes of each speaker: 13 of five words and 14 of the others make 540 clips of four speakers.
TAKES: Final = 14
#: Frames of a clip for the regression.
FRAMES: Final = 32
UNADJUSTED: Final[Mapping[str, Any]] = {
    "config": {"augmentation": "off"},
    "schedule": {"max_steps": 1},
    "encoders": {"audio": {"normalize_clips": False}},
}
WAYS: Final[Mapping[str, Mapping[str, Any]]] = {"before": UNADJUSTED, "now": {}}


def write(data: Path, pair: tuple[str, str], task: str, folder: Path) -> Path:
    """Import class folders, as a user would send them."""
    archive = folder / "words.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(data.glob("*.wav")):
            digit, speaker, take = path.stem.split("_")
            if int(take) < TAKES - int(digit) % 2:
                split = "test" if speaker in pair else "train"
                packed.write(path, f"{split}/{WORDS[int(digit)]}/{path.name}")
    report = import_dataset([archive], folder / task, task=task, tasks=dict(TASKS))
    if report.state != "ready":
        sys.exit(f"the audio clips were rejected: {report.errors}")
    return folder / task


def run(dataset: Path, folder: Path, task: str, way: str, seed: int) -> tuple[float, Mapping[str, Any], float]:
    """Return the error rate on the test, the training report and CPU seconds."""
    options = WAYS[way]
    spec = TypeAdapter[Spec](Spec).validate_python(
        {
            "kind": "finetune",
            "dataset": "words",
            "model": "words",
            "seed": seed,
            "task": {"name": task, "config": options.get("config", {})},
            "schedule": options.get("schedule", {}),
            "encoders": options.get("encoders", {}),
        }
    )
    began = time.process_time()
    with tempfile.TemporaryDirectory(dir=folder) as work:
        result = train(spec, dataset, Path(work), device="cpu", threads=1)
    report: Any = result.report
    metrics = report["metrics"]
    error = metrics["word_error_rate"] if "word_error_rate" in metrics else 1 - metrics["accuracy"]
    return error, report["training"], time.process_time() - began


def regression_error(dataset: Path) -> float:
    """Return the error rate of logistic regression over standardized log-mel frames."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = Dataset.open(dataset)
    train_rows = [row for split in ("train", "validation") for row in data.rows(split)]
    test_rows = list(data.rows("test"))
    encoder = LogMelEncoder.learn([row["audio"] for row in train_rows], {})

    def stretch(rows: list[Any]) -> np.ndarray:
        clips = encoder.encode([row["audio"] for row in rows])
        return np.array([clip[np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)].ravel() for clip in clips])

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    model.fit(stretch(train_rows).astype(np.float32), [row["label"] for row in train_rows])
    predicted = model.predict(stretch(test_rows).astype(np.float32))
    return float(np.mean(predicted != np.array([row["label"] for row in test_rows])))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the audio clips")
    parser.add_argument("--pairs", type=int, nargs="+", choices=range(len(PAIRS)), default=list(range(len(PAIRS))))
    parser.add_argument("--tasks", nargs="+", default=["audio_classification", "speech_recognition"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parse_args(parser)
    if not any(arguments.data.glob("*.wav")):
        sys.exit(f"skipped: no audio clips in {arguments.data}; name their folder with --data")
    torch.set_num_threads(1)
    errors: dict[str, list[float]] = {}
    print(f"{'held out':<18} {'task':<21} {'way':<10} {'error':>6} {'epochs':>6} {'steps':>6} {'best':>5} {'CPU s':>6}")
    for pair in (PAIRS[number] for number in arguments.pairs):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for task in arguments.tasks:
                dataset = write(arguments.data, pair, task, folder)
                if task == "audio_classification":
                    error = regression_error(dataset)
                    errors.setdefault("logistic regression over the log spectrogram", []).append(error)
                    print(f"{' '.join(pair):<18} {task:<21} {'regression':<10} {error:>6.3f}", flush=True)
                for way in arguments.ways:
                    error, training, seconds = run(dataset, folder, task, way, arguments.seed)
                    errors.setdefault(f"{task}, {way}", []).append(error)
                    cells = f"{training['epochs']:>6} {training['steps']:>6} {training['best_epoch'] or '-':>5}"
                    print(
                        f"{' '.join(pair):<18} {task:<21} {way:<10} {error:>6.3f} {cells} {seconds:>6.0f}", flush=True
                    )
    for name, values in errors.items():
        print(f"mean {name}: {np.mean(values):.3f}")
        figure(f"errors on new speakers: {name}", [100 * value for value in values], unit="%")


if __name__ == "__main__":
    main()
