"""Gain of base models where labels are few, on images, texts, audio and pairs.

Each task is fine-tuned from random weights and from every base model that fits.

    python -m benchmarks.pretraining_pays                                   all of it, with the fewest labels
    python -m benchmarks.pretraining_pays images --labels 100 1000
    python -m benchmarks.pretraining_pays audio --arms scratch "gaps filled"

Every arm of one network has the same steps and the same search for a learning rate on validation rows: a scratch arm
without one would overstate every gain. What the arms are stands with each modality in `benchmarks.pretraining`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.pretraining.arms import Modality, compare
from benchmarks.pretraining.audio import Audio
from benchmarks.pretraining.images import Images
from benchmarks.pretraining.pairs import Pairs
from benchmarks.pretraining.texts import Texts
from benchmarks.record import parse_args
from tests.support.repository import SHARED_DATA

DATA: Final = SHARED_DATA
#: And the folder of its files.
MODALITIES: Final[Mapping[str, tuple[type[Modality], str]]] = {
    "images": (Images, "mnist"),
    "texts": (Texts, "sst2"),
    "audio": (Audio, "fsdd"),
    "pairs": (Pairs, "emoji-noto"),
}


def main() -> None:
    """Print a table for each modality."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modalities", nargs="*", default=list(MODALITIES), metavar="|".join(MODALITIES))
    parser.add_argument(
        "--data",
        type=Path,
        default=DATA,
        help=f"the folder that holds {', '.join(folder for _, folder in MODALITIES.values())}",
    )
    parser.add_argument("--seeds", type=int, nargs="+", help="default: 0 1 2")
    parser.add_argument("--labels", type=int, nargs="+", help="rows that have one; default: the modality's")
    parser.add_argument("--epochs", type=int, help="of pretraining; default: the modality's")
    parser.add_argument("--steps", type=int, help="of fine-tuning; default: the modality's")
    parser.add_argument("--arms", nargs="+", help="default: all")
    arguments = parse_args(parser)
    for name in arguments.modalities:
        if name not in MODALITIES:
            parser.error(f"there is no {name!r}; known: {', '.join(MODALITIES)}")
        kind, data = MODALITIES[name]
        arms = arguments.arms or list(kind.arms)
        if unknown := [arm for arm in arms if arm not in kind.arms]:
            parser.error(f"{name} has no arm {unknown[0]!r}; known: {', '.join(kind.arms)}")
        request = {name: getattr(arguments, name) for name in ("labels", "seeds", "epochs", "steps")}
        study = replace(kind.usual, **{name: value for name, value in request.items() if value})
        with tempfile.TemporaryDirectory() as folder:
            modality = kind(arguments.data / data, Path(folder) / "data")
            compare(modality, arms, study, Path(folder) / "runs")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
