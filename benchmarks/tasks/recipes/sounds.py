"""Sound datasets: spoken digits, synthetic voices, tones and Morse code."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from benchmarks.tasks.recipes.case import Case, LabeledFile, write_class_folders

RATE_HZ: Final = 8_000
DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPEAKERS: Final = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
#: Vowel -> first two formants of an average voice in Hz (Peterson & Barney 1952, rounded).
FORMANTS: Final = {"a": (730, 1090), "e": (530, 1840), "i": (270, 2290), "o": (570, 840), "u": (300, 870)}
SYLLABLE_WORDS: Final = ("mama", "sima", "tuko", "sosi", "keta", "mi", "teso", "kimo")
MORSE: Final = {"a": ".-", "e": ".", "i": "..", "m": "--", "n": "-.", "s": "...", "t": "-", "o": "---"}
MORSE_WORDS: Final = ("sos", "men", "tea", "not", "team", "some", "tie", "mist", "on", "ant", "toe", "sea")


def spoken_digits(data: Path, *, held_out: tuple[str, str], takes: int) -> Iterator[LabeledFile]:
    """Spoken digits of four speakers; two others are the test."""
    for digit, word in enumerate(DIGITS):
        for speaker in SPEAKERS:
            for take in range(15 if speaker in held_out else takes):
                path = data / "fsdd" / "recordings" / f"{digit}_{speaker}_{take}.wav"
                yield word, "test" if speaker in held_out else "train", path.read_bytes()


def voices(data: Path) -> Iterator[LabeledFile]:
    """Speakers, by five takes of the digits below 6; other digits are the test."""
    for digit in range(10):
        for speaker in SPEAKERS:
            for take in range(5):
                path = data / "fsdd" / "recordings" / f"{digit}_{speaker}_{take}.wav"
                yield speaker, "train" if digit < 6 else "test", path.read_bytes()


def waveforms(_: Path) -> Iterator[LabeledFile]:
    """Timbre: five forms of a wave, of any pitch, length and level, in noise."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 100)):
        for name in ("sine", "square", "saw", "hollow", "beating") * count:
            time = np.arange(int(rng.uniform(0.4, 1.0) * RATE_HZ)) / RATE_HZ
            phase = rng.uniform(110, 660) * time
            wave = {
                "sine": np.sin(2 * np.pi * phase),
                "square": np.sign(np.sin(2 * np.pi * phase)),
                "saw": 2 * (phase % 1) - 1,
                "hollow": np.sin(2 * np.pi * phase) + np.sin(6 * np.pi * phase) / 2,
                "beating": np.sin(2 * np.pi * phase) + np.sin(2 * np.pi * (phase + 6 * time)),
            }[name]
            fade = np.exp(-rng.uniform(0, 4) * time)
            yield name, split, to_wav(wave * fade + rng.normal(0, rng.uniform(0.05, 0.4), len(time)))


def movements(_: Path) -> Iterator[LabeledFile]:
    """Movements of a tone: up, down, both, or none, at any pitch."""
    rng = np.random.default_rng(0)
    shapes = {"up": (0, 1, 2), "down": (2, 1, 0), "hill": (0, 2, 0), "valley": (2, 0, 2), "flat": (1, 1, 1)}
    for split, count in (("train", 30), ("test", 80)):
        for name in tuple(shapes) * count:
            length = int(rng.uniform(0.5, 1.2) * RATE_HZ)
            octave = rng.uniform(0.15, 0.5) * np.interp(np.linspace(0, 2, length), (0, 1, 2), shapes[name])
            wave = np.sin(2 * np.pi * np.cumsum(rng.uniform(200, 1200) * 2**octave) / RATE_HZ)
            yield name, split, to_wav(wave + rng.normal(0, rng.uniform(0.1, 0.7), length))


def syllables(_: Path, *, words: int = 1) -> Iterator[LabeledFile]:
    """Made-up words in synthetic voices; those of the test are higher or lower."""
    rng = np.random.default_rng(words)
    for split, count in (("train", 30), ("test", 40)):
        for first in SYLLABLE_WORDS * count:
            text = [first, *(SYLLABLE_WORDS[rng.integers(len(SYLLABLE_WORDS))] for _ in range(words - 1))]
            pitch, tract = rng.uniform(110, 180), rng.uniform(0.95, 1.1)
            if split == "test":
                pitch, tract = (pitch * 1.5, tract * 1.12) if rng.random() < 0.5 else (pitch / 1.4, tract / 1.1)
            parts = [_say(letter, pitch, tract, rng) for word in text for letter in word + " "]
            wave = np.concatenate(parts)
            yield " ".join(text), split, to_wav(wave + rng.normal(0, rng.uniform(0.01, 0.1), len(wave)))


def digit_pairs(data: Path) -> Iterator[LabeledFile]:
    """Two digits of one speaker, one after the other; other takes are the test."""
    rng = np.random.default_rng(0)
    for split, count, takes in (("train", 400, (0, 30)), ("test", 200, (30, 50))):
        for _ in range(count):
            speaker, pair = SPEAKERS[rng.integers(len(SPEAKERS))], rng.integers(10, size=2)
            parts = []
            for digit in pair:
                path = data / "fsdd" / "recordings" / f"{digit}_{speaker}_{rng.integers(*takes)}.wav"
                parts += [np.asarray(soundfile.read(path)[0]), np.zeros(int(rng.integers(100, 900)))]
            yield " ".join(DIGITS[digit] for digit in pair), split, to_wav(np.concatenate(parts))


def morse(_: Path) -> Iterator[LabeledFile]:
    """Morse code of short words, at any pitch and speed, in noise."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 25), ("test", 20)):
        for word in MORSE_WORDS * count:
            unit, pitch = rng.uniform(0.03, 0.05), rng.uniform(400, 1200)
            units = "".join("".join("=" * (1 if sign == "." else 3) + "_" for sign in MORSE[c]) + "__" for c in word)
            on = np.repeat([float(sign == "=") for sign in units], int(unit * RATE_HZ))
            wave = on * np.sin(2 * np.pi * pitch * np.arange(len(on)) / RATE_HZ)
            yield word, split, to_wav(wave + rng.normal(0, rng.uniform(0.02, 0.2), len(wave)))


def to_wav(wave: np.ndarray) -> bytes:
    """Encode samples at half of the full level."""
    file = io.BytesIO()
    soundfile.write(file, 0.5 * wave / np.abs(wave).max(), RATE_HZ, format="WAV")
    return file.getvalue()


def _say(letter: str, pitch: float, tract: float, rng: np.random.Generator) -> np.ndarray:
    """Return a vowel, a consonant or a pause: pulses or noise through two resonances."""
    length = int(rng.uniform(0.08, 0.14) * RATE_HZ) if letter in FORMANTS else int(rng.uniform(0.04, 0.07) * RATE_HZ)
    if letter == " ":
        return np.zeros(length)
    noise = rng.normal(0, 1, length)
    if letter in "tk":
        noise *= np.exp(-np.arange(length) / 60)
    phase = np.cumsum(pitch * rng.uniform(0.95, 1.05) * np.linspace(1.05, 0.95, length)) / RATE_HZ
    source = np.diff(np.floor(phase), prepend=0) * 8 + 0.05 * noise
    formants: tuple[float, ...] = FORMANTS.get(letter, (250, 1000))
    if letter in "stk":
        source, formants = noise, {"s": (3300, 3600), "t": (2600, 3400), "k": (1400, 1900)}[letter]
    frequencies = 2 * np.pi * np.fft.rfftfreq(2 * length)
    spectrum = np.fft.rfft(source, 2 * length)
    for formant in formants:
        # A resonance of two poles.
        pole = 0.97 * np.exp(2j * np.pi * min(3700, formant * tract) / RATE_HZ)
        spectrum /= (1 - pole * np.exp(-1j * frequencies)) * (1 - pole.conjugate() * np.exp(-1j * frequencies))
    source = np.fft.irfft(spectrum)[:length]
    level = {"m": 0.5, "s": 0.3, "t": 0.6, "k": 0.6}.get(letter, 1.0)
    return np.asarray(level * source / (np.abs(source).max() + 1e-9))


def _write_folders(make: Callable[[Path], Iterator[LabeledFile]], folder: Path, data: Path) -> list[Path]:
    return write_class_folders(folder / "sounds.zip", make(data), "wav")


def _write_transcripts(make: Callable[[Path], Iterator[LabeledFile]], folder: Path, data: Path) -> list[Path]:
    rows = [["file_name", "text", "split"]]
    with zipfile.ZipFile(folder / "speech.zip", "w") as archive:
        for number, (text, split, content) in enumerate(make(data)):
            rows.append([f"clips/{number:05}.wav", text, split])
            archive.writestr(zipfile.ZipInfo(rows[-1][0]), content)
        table = io.StringIO()
        csv.writer(table).writerows(rows)
        archive.writestr("metadata.csv", table.getvalue())
    return [folder / "speech.zip"]


def _sound(make: Callable[[Path], Iterator[LabeledFile]]) -> Case:
    return Case("sound", "audio_classification", "accuracy", partial(_write_folders, make))


def _speech(make: Callable[[Path], Iterator[LabeledFile]]) -> Case:
    return Case("speech", "speech_recognition", "word_error_rate", partial(_write_transcripts, make))


CASES: Final[Mapping[str, Case]] = {
    "new_speakers": _sound(partial(spoken_digits, held_out=("theo", "nicolas"), takes=13)),
    "new_speakers_120": _sound(partial(spoken_digits, held_out=("george", "jackson"), takes=3)),
    "voices": _sound(voices),
    "waveforms": _sound(waveforms),
    "movements": _sound(movements),
    "syllables": _sound(syllables),
    "speech_new_speakers": _speech(partial(spoken_digits, held_out=("theo", "nicolas"), takes=8)),
    "speech_pairs": _speech(digit_pairs),
    "speech_morse": _speech(morse),
    "speech_syllables": _speech(partial(syllables, words=2)),
}
