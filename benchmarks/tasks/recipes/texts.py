"""Text datasets: reviews, speakers of plays, names of emoji, and requests of a grammar."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.tasks.recipes.case import Case, split_names

LabeledText = tuple[str, str, str]
ROOMS: Final = ("kitchen", "hall", "bedroom", "office", "garage", "garden", "bathroom", "cellar")
TIMES: Final = ("six", "seven thirty", "noon", "half past nine", "ten", "midnight", "four", "a quarter to five")
PLACES: Final = ("the station", "the airport", "my office", "the harbor", "the museum", "school", "the old town")
SONGS: Final = ("some jazz", "the news", "a quiet song", "my playlist", "something by Bach", "the radio")
#: Intent -> patterns; braces name the lists above.
REQUESTS: Final[Mapping[str, tuple[str, ...]]] = {
    "light on": ("turn on the light in the {room}", "it is too dark in the {room}", "switch the {room} lamp on"),
    "light off": ("turn off the light in the {room}", "make the {room} dark", "switch the {room} lamp off"),
    "heat": ("make the {room} warmer", "it is cold in the {room}", "heat the {room} until {time}"),
    "alarm": ("wake me at {time}", "set an alarm for {time}", "I have to get up at {time}"),
    "route": ("how do I get to {place}", "which way is {place}", "take me to {place} before {time}"),
    "play": ("play {song} in the {room}", "I want to hear {song}", "put on {song}"),
    "stop": ("stop {song} in the {room}", "I do not want to hear {song}", "no more of {song}"),
    "cancel": ("do not wake me at {time}", "delete the alarm for {time}", "forget about {place}"),
}
POLITE: Final = ("", "please ", "could you ", "hey, ", "well, ")


def reviews(data: Path, *, rows: int) -> Iterator[LabeledText]:
    """Sentences of film reviews (SST-2): positive or negative; 1,000 to test on."""
    rng = np.random.default_rng(rows)
    for split, count in (("train", rows), ("test", 1000)):
        lines = (data / "sst2" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()
        for number in rng.permutation(len(lines))[:count]:
            text, _, label = lines[number].rpartition("\t")
            yield ("positive" if label == "1" else "negative"), split, text


def speakers(data: Path) -> Iterator[LabeledText]:
    """Speeches of the four who speak most often in the plays of tinyshakespeare."""
    speeches = (data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8").split("\n\n")
    rows = [(name, text.replace("\n", " ")) for name, _, text in (speech.partition(":\n") for speech in speeches)]
    rows = [(name, text) for name, text in rows if len(text) > 60]
    main = {name for name, _ in Counter(name for name, _ in rows).most_common(4)}
    rows = [row for row in rows if row[0] in main]
    order = np.random.default_rng(0).permutation(len(rows))
    train = len(rows) * 6 // 10
    for number, split in zip(order, split_names(train, len(rows) - train), strict=True):
        yield rows[number][0], split, rows[number][1]


def emoji_names(data: Path) -> Iterator[LabeledText]:
    """Emoji by category, from their names."""
    lines = (data / "emoji-noto" / "captions.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    order = np.random.default_rng(0).permutation(len(rows))
    for number, split in zip(order, split_names(800, len(rows) - 800), strict=True):
        yield rows[number][5], split, rows[number][2]


def requests(_: Path) -> Iterator[LabeledText]:
    """Requests to a house, made by a grammar; the order of words matters."""
    rng = np.random.default_rng(0)
    fields = {"room": ROOMS, "time": TIMES, "place": PLACES, "song": SONGS}
    for split, count, lowest, highest in (("train", 20, 0, 0.6), ("test", 50, 0.4, 1)):
        for intent in tuple(REQUESTS) * count:
            values = {name: words[int(rng.uniform(lowest, highest) * len(words))] for name, words in fields.items()}
            pattern = REQUESTS[intent][rng.integers(3)]
            yield intent, split, POLITE[rng.integers(len(POLITE))] + pattern.format_map(values)


def _write(make: Callable[[Path], Iterator[LabeledText]], folder: Path, data: Path) -> list[Path]:
    rows = list(make(data))
    paths = []
    for split in ("train", "test"):
        paths.append(folder / f"{split}.csv")
        with paths[-1].open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["text", "label"], *([row[2], row[0]] for row in rows if row[1] == split)])
    return paths


def _case(make: Callable[[Path], Iterator[LabeledText]]) -> Case:
    return Case("text", "text_classification", "accuracy", partial(_write, make))


CASES: Final[Mapping[str, Case]] = {
    "reviews_200": _case(partial(reviews, rows=200)),
    "reviews_500": _case(partial(reviews, rows=500)),
    "reviews_1000": _case(partial(reviews, rows=1000)),
    "speakers": _case(speakers),
    "emoji_names": _case(emoji_names),
    "requests": _case(requests),
}
