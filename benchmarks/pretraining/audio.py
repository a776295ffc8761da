"""FSDD: spoken digits; takes 0 to 4 are the test, 5 to 9 validate."""

from __future__ import annotations

import base64
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.pretraining.arms import Arm, Modality, Study
from benchmarks.tasks.speech import TEST_TAKES, VALIDATION_TAKES, WORDS


class Audio(Modality):
    """Arms of the study.

    - scratch: from random weights
    - gaps filled: from a base model that rebuilt hidden stretches of all 2,400 audio clips of training (`masked_audio`)
    """

    task = "speech_recognition"
    answer = "text"
    batch_rows = 20
    usual = Study(labels=(200,), epochs=20, steps=400)
    arms: ClassVar[Mapping[str, Arm]] = {"scratch": Arm("rnn"), "gaps filled": Arm("rnn", "masked_audio")}

    def __init__(self, data: Path, folder: Path) -> None:
        self.folder = folder
        self.clips: dict[str, list[Path]] = {"train": [], "validation": [], "test": []}
        for path in sorted((data / "recordings").glob("*.wav")):
            take = int(path.stem.rsplit("_", 1)[1])
            split = "test" if take in TEST_TAKES else "validation" if take in VALIDATION_TAKES else "train"
            self.clips[split].append(path)
        if not self.clips["train"]:
            sys.exit(f"skipped: no audio clips in {data}; name their folder with --data")

    def unlabeled_dataset(self, _: int) -> Path:
        """Return all audio clips of training, for any seed."""
        rows = {split: self.clips[split] for split in ("train", "validation")}
        return self._write("unlabeled", rows, message=False)

    def teacher_dataset(self, _: int) -> Path:
        """The same with what is said."""
        rows = {split: self.clips[split] for split in ("train", "validation")}
        return self._write("answered", rows, message=True)

    def labeled_dataset(self, seed: int, count: int) -> Path:
        """Return some of the audio clips of pretraining."""
        order = np.random.default_rng(seed).permutation(len(self.clips["train"]))
        chosen = [self.clips["train"][row] for row in order[:count]]
        rows = {"train": chosen, "validation": self.clips["validation"]}
        return self._write(f"labeled-{count}-{seed}", rows, message=True)

    def rows(self, split: str, _: int) -> tuple[list[dict[str, Any]], list[str]]:
        """WAVs, and words."""
        paths = self.clips[split]
        inputs = [{"audio": base64.b64encode(path.read_bytes()).decode()} for path in paths]
        return inputs, [_word(path) for path in paths]

    def _write(self, name: str, splits: Mapping[str, list[Path]], *, message: bool) -> Path:
        """Import a zip with a list, as a user would send it."""

        def write(folder: Path) -> list[Path]:
            lines = ["file_name,split,text" if message else "file_name,split"]
            with zipfile.ZipFile(folder / "recordings.zip", "w") as packed:
                for split, paths in splits.items():
                    for path in paths:
                        packed.write(path, f"recordings/{path.name}")
                        lines.append(f"recordings/{path.name},{split}" + (f",{_word(path)}" if message else ""))
                packed.writestr("metadata.csv", "\n".join(lines))
            return [folder / "recordings.zip"]

        return self._import_once(name, write, task=self.task if message else None)


def _word(path: Path) -> str:
    return WORDS[int(path.stem.split("_")[0])]
