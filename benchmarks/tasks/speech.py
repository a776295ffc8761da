"""Speech on FSDD with the default recipes; takes 0 to 4 are the test.

- recognition: word error rate on the test takes, beside the commonest word
- synthesis: every word in every voice, written to WAV, read back and given to that recognizer; what the waves are like

Takes 5 to 9 validate; with them recipes were chosen. `python -m benchmarks.tasks.speech` trains in this process.
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.files import audio
from ml.data.importing.importer import import_dataset
from ml.inference.predictor import Predictor
from ml.learning.pipeline.train import TrainingResult, train
from ml.spec.schema import Spec
from tests.support.repository import SHARED_DATA

DATA = SHARED_DATA / "fsdd" / "recordings"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEST_TAKES, VALIDATION_TAKES = range(5), range(5, 10)
SPEEDS = (0.85, 1.0, 1.15)


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One synthesized word, and its transcript."""

    text: str
    voice: str
    heard: str
    peak: float
    seconds: float
    #: The larger of the first and the last sample: what would click.
    ends: float
    #: The largest step from one sample to the next, beside the peak.
    jump: float


def write(clips: Path, folder: Path) -> Path:
    """Import a zip with a list, as a user would send it."""
    archive = folder / "fsdd.zip"
    lines = ["file_name,text,speaker,split"]
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(clips.glob("*.wav")):
            digit, speaker, take = path.stem.split("_")
            held_out = "test" if int(take) in TEST_TAKES else "validation" if int(take) in VALIDATION_TAKES else "train"
            packed.write(path, f"recordings/{path.name}")
            lines.append(f"recordings/{path.name},{WORDS[int(digit)]},{speaker},{held_out}")
        packed.writestr("metadata.csv", "\n".join(lines))
    report = import_dataset([archive], folder / "dataset", task="speech_recognition")
    if report.state != "ready":
        sys.exit(f"the audio clips were rejected: {report.errors}")
    return folder / "dataset"


def run(dataset: Path, folder: Path, **options: Any) -> tuple[TrainingResult, float]:
    """One run of the product's own `train`, and its CPU seconds."""
    folder.mkdir()
    usual = {"kind": "finetune", "dataset": "fsdd", "model": "fsdd"}
    spec = TypeAdapter[Spec](Spec).validate_python({**usual, **options})
    began = time.process_time()
    result = train(spec, dataset, folder, device="cpu")
    return result, time.process_time() - began


def transcribe_synthesized(synthesizer: Predictor, recognizer: Predictor, voices: list[str]) -> list[SpokenWord]:
    """Every word in every voice at every speed, through WAV and back."""
    request = [{"text": word, "voice": voice, "speed": speed} for speed in SPEEDS for voice in voices for word in WORDS]
    spoken = [answer["audio"] for answer in synthesizer.predict(request)]
    heard = [answer["text"] for answer in recognizer.predict([{"audio": item} for item in spoken])]
    waves = [audio.decode(base64.b64decode(item)) for item in spoken]
    return [
        SpokenWord(
            text=str(value["text"]),
            voice=str(value["voice"]),
            heard=text,
            peak=float(np.abs(wave.samples).max()),
            seconds=wave.seconds,
            ends=float(max(abs(wave.samples[0]), abs(wave.samples[-1]))),
            jump=float(np.abs(np.diff(wave.samples)).max() / np.abs(wave.samples).max()),
        )
        for value, text, wave in zip(request, heard, waves, strict=True)
    ]


def largest_jump(clips: Path) -> float:
    """Return the largest jump in the test clips, the reference for synthesized ones."""
    waves = [audio.decode(path.read_bytes()).samples for take in TEST_TAKES for path in clips.glob(f"*_{take}.wav")]
    return max(float(np.abs(np.diff(wave)).max() / np.abs(wave).max()) for wave in waves)


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the audio clips")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the recognizer; the first one listens")
    parser.add_argument("--only", choices=["recognition"], help="leave synthesis out")
    arguments = parse_args(parser)
    if not any(arguments.data.glob("*.wav")):
        sys.exit(f"skipped: no audio clips in {arguments.data}; name their folder with --data")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = write(arguments.data, folder)
        recognizer = None
        print(f"{'recognition':<12} {'seed':>4} {'parameters':>10} {'WER':>7} {'CER':>7} {'baseline':>8} {'CPU s':>6}")
        for seed in arguments.seeds:
            heard, seconds = run(dataset, folder / f"heard-{seed}", task="speech_recognition", seed=seed)
            recognizer = recognizer or Predictor.load(heard.package)
            report = heard.report or {}
            scores = report["metrics"]
            rates = f"{scores['word_error_rate']:>7.2%} {scores['character_error_rate']:>7.2%}"
            usual = f"{report['baseline']['word_error_rate']:>8.2%}"
            parameters = heard.package.manifest.parameters
            figure(f"word error rate, seed {seed}", scores["word_error_rate"] * 100, unit="%", aim="<= 8")
            print(f"{'rnn':<12} {seed:>4} {parameters:>10,} {rates} {usual} {seconds:>6.0f}", flush=True)
        if arguments.only or recognizer is None:
            return
        spoken, seconds = run(dataset, folder / "spoken", task="speech_synthesis", seed=arguments.seeds[0])
        state = spoken.package.task()
        assert state is not None
        words = transcribe_synthesized(Predictor.load(spoken.package), recognizer, list(state.state["voices"]))
        _show(words, spoken, seconds)
        print(f"largest jump of real audio clips: {largest_jump(arguments.data):.2f} of the peak")


def _show(transcript: list[SpokenWord], spoken: TrainingResult, seconds: float) -> None:
    report = spoken.report or {}
    print(f"\nsynthesis: {spoken.package.manifest.parameters:,} parameters, {seconds:.0f} CPU s")
    for name, value in report["metrics"].items():
        print(f"  {name}: {value:.3f}, baseline {report['baseline'][name]:.3f}")
    right = [item.heard == item.text for item in transcript]
    print(f"  words recognized from the WAVs: {np.mean(right):.1%} of {len(transcript)}")
    for item in [item for item, good in zip(transcript, right, strict=True) if not good][:10]:
        print(f"    {item.voice} said {item.text!r}, heard was {item.heard!r}")
    figure("words recognized from synthesized clips", float(np.mean(right)) * 100, unit="%", aim=">= 95")
    peaks, lengths = [item.peak for item in transcript], [item.seconds for item in transcript]
    print(
        f"  peak {20 * np.log10(min(peaks)):.2f} to {20 * np.log10(max(peaks)):.2f} dB, {min(lengths):.2f} to", end=""
    )
    print(f" {max(lengths):.2f} s, ends at most {max(item.ends for item in transcript):.4f},", end="")
    print(f" largest jump {max(item.jump for item in transcript):.2f} of the peak")


if __name__ == "__main__":
    main()
