"""Tiny datasets made by fixed code: images of stripes, sentences, and clips of two tones."""

from __future__ import annotations

import io
import wave
import zipfile

import numpy as np
from PIL import Image

SIDE = 12
RATE_HZ = 16_000
TONES_HZ = {"a": 400.0, "b": 1200.0}
WORDS = ("the", "old", "sea", "tells", "a", "long", "story", "of", "wind")


def image(label: str, number: int) -> bytes:
    """A PNG of horizontal or vertical stripes with noise."""
    generator = np.random.default_rng([len(label), number])
    stripes = np.where(np.arange(SIDE) // 2 % 2, 200, 30)
    pixels = np.tile(stripes, (SIDE, 1)) + generator.integers(0, 40, (SIDE, SIDE))
    file = io.BytesIO()
    Image.fromarray((pixels.T if label == "rows" else pixels).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def clip(text: str, number: int) -> bytes:
    """A WAV file in which a tone stands for each character."""
    time = np.arange(int(0.12 * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng([7, number])
    tones = [np.sin(2 * np.pi * TONES_HZ[character] * time) * np.hanning(len(time)) for character in text]
    samples = 0.5 * np.concatenate(tones) + 0.01 * noise.normal(size=len(time) * len(text))
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(RATE_HZ)
        written.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


def stripes() -> tuple[str, bytes]:
    """File name and content: 64 images in two class folders."""
    return "stripes.zip", _zip(
        {f"{label}/{n:02}.png": image(label, n) for label in ("rows", "columns") for n in range(32)}
    )


def sentences() -> tuple[str, bytes]:
    """File name and content: 80 sentences, one a row."""
    generator = np.random.default_rng(3)
    rows = [" ".join(generator.choice(WORDS, 8)) for _ in range(80)]
    return "sentences.csv", ("\n".join(["text", *rows]) + "\n").encode()


def clips() -> tuple[str, bytes]:
    """File name and content: 40 clips, and a table of what they say."""
    generator = np.random.default_rng(4)
    texts = ["".join(generator.choice(list(TONES_HZ), 2 + number % 3)) for number in range(40)]
    table = "\n".join(["file_name,text", *(f"{number:02}.wav,{text}" for number, text in enumerate(texts))])
    files = {f"{number:02}.wav": clip(text, number) for number, text in enumerate(texts)}
    return "clips.zip", _zip({"metadata.csv": table.encode(), **files})


def _zip(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data)
    return content.getvalue()
