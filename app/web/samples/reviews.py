"""Reviews: short texts, good or bad, put together from phrases."""

from __future__ import annotations

import csv
import io
import random
from typing import TYPE_CHECKING, Final

from app.web.samples.base import SampleData, split_of

if TYPE_CHECKING:
    from app.web.samples.base import Files

ROWS: Final = 600
SEED: Final = 7

_THINGS: Final = (
    "soup", "coffee", "room", "bed", "book", "story", "phone", "screen", "bread", "view", "service", "delivery",
    "staff", "cover", "battery", "pillow", "dessert", "ending", "camera", "breakfast",
)  # fmt: skip
_GOOD: Final = (
    "was excellent", "made my day", "is worth every cent", "was better than I hoped", "is lovely", "works like a charm",
    "was warm and fresh", "could not be nicer", "surprised me in the best way", "is a joy",
)  # fmt: skip
_BAD: Final = (
    "was awful", "ruined my day", "is a waste of money", "was worse than I feared", "is broken", "stopped working",
    "was cold and stale", "could not be ruder", "disappointed me badly", "is a mess",
)  # fmt: skip
_OPENINGS: Final = ("", "Honestly, ", "To be fair, ", "In short: ", "After a week, ", "My first impression: ")
_ENDINGS: Final = {
    "good": (" I will come back.", " Highly recommended.", " Thank you!", " Five stars.", ""),
    "bad": (" Never again.", " I want my money back.", " Stay away.", " One star.", ""),
}


def _text(random_state: random.Random, label: str) -> str:
    phrases, others = (_GOOD, _BAD) if label == "good" else (_BAD, _GOOD)
    first, second = random_state.sample(_THINGS, 2)
    start = f"{random_state.choice(_OPENINGS)}the {first} {random_state.choice(phrases)}"
    contrast = random_state.random() < 0.25
    middle = f", although the {second} {random_state.choice(others)}" if contrast else f" and the {second} too"
    return f"{start}{middle}.{random_state.choice(_ENDINGS[label])}"


def _files() -> Files:
    random_state = random.Random(SEED)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["text", "label", "split"])
    seen: set[str] = set()
    while len(seen) < ROWS:
        label = ("good", "bad")[len(seen) % 2]
        text = _text(random_state, label)
        if text not in seen:
            writer.writerow([text, label, split_of(len(seen) // 2)])
            seen.add(text)
    yield "reviews.csv", table.getvalue().encode()


SAMPLE = SampleData(
    title="Reviews",
    summary="600 short reviews, good or bad. Learns to tell them apart, also with an 'although' in the middle.",
    task="text_classification",
    sketch="M10 8h44v20h-24l-8 8v-8h-12zM18 15h28M18 21h18",
    place=1,
    files=_files,
)
