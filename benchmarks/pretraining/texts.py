"""SST-2: sentences of film reviews, labeled as positive or negative."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from benchmarks.pretraining.arms import Arm, Modality, Study

#: The learning rate of a base model that keeps its random weights.
UNTRAINED: Final = 1e-12


class Texts(Modality):
    """Arms of the study.

    - scratch: from random weights, its tokenizer learned from the labeled sentences alone
    - tokenizer alone: from a base model that has read all sentences to learn a tokenizer, and whose weights are random
    - gaps filled: from a base model that filled the gaps of all 6,920 sentences (`masked_language_modeling`)
    - scratch (transformer), spans restored: the same two for an encoder that learned beside a decoder to restore spans
      that were cut out (`denoising`)
    - scratch (gpt), next token: the same two for a decoder that learned to tell each token from those before it
      (`causal_language_modeling`)

    The step from the first to the second is what the tokenizer alone gives.
    """

    task = "text_classification"
    answer = "label"
    batch_rows = 25
    usual = Study(labels=(200,), epochs=12, steps=120)
    arms: ClassVar[Mapping[str, Arm]] = {
        "scratch": Arm("rnn"),
        "tokenizer alone": Arm("rnn", "masked_language_modeling", schedule={"epochs": 1, "learning_rate": UNTRAINED}),
        "gaps filled": Arm("rnn", "masked_language_modeling"),
        "scratch (transformer)": Arm("transformer"),
        "spans restored": Arm("transformer", "denoising", beside="scratch (transformer)"),
        "scratch (gpt)": Arm("gpt"),
        "next token": Arm("gpt", "causal_language_modeling", beside="scratch (gpt)"),
    }

    def __init__(self, data: Path, folder: Path) -> None:
        if not (data / "train.tsv").is_file():
            sys.exit(f"skipped: no SST-2 files in {data}; name their folder with --data")
        self.folder = folder
        self.lines = {
            split: (data / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
            for split, name in (("train", "train"), ("validation", "dev"), ("test", "test"))
        }

    def unlabeled_dataset(self, _: int) -> Path:
        """Return all sentences of training, for any seed."""
        rows = {split: self.lines[split] for split in ("train", "validation")}
        return self._write("unlabeled", rows, task=None)

    def teacher_dataset(self, _: int) -> Path:
        """The same with labels."""
        rows = {split: self.lines[split] for split in ("train", "validation")}
        return self._write("answered", rows, task=self.task)

    def labeled_dataset(self, seed: int, count: int) -> Path:
        """Some of the sentences that are pretrained on."""
        order = np.random.default_rng(seed).permutation(len(self.lines["train"]))
        chosen = [self.lines["train"][row] for row in order[:count]]
        rows = {"train": chosen, "validation": self.lines["validation"]}
        return self._write(f"labeled-{count}-{seed}", rows, task=self.task)

    def rows(self, split: str, _: int) -> tuple[list[dict[str, Any]], list[str]]:
        """Sentences, and labels."""
        texts, labels = zip(*(line.rsplit("\t", 1) for line in self.lines[split]), strict=True)
        return [{"text": text} for text in texts], list(labels)

    def _write(self, name: str, splits: Mapping[str, Sequence[str]], *, task: str | None) -> Path:
        """Import tab-separated files."""

        def write(folder: Path) -> list[Path]:
            sources = [folder / f"{split}.tsv" for split in splits]
            for source, lines in zip(sources, splits.values(), strict=True):
                source.write_text("".join(f"{line}\n" for line in ("text\tlabel", *lines)), encoding="utf-8")
            return sources

        return self._import_once(name, write, task=task)
