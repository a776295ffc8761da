"""What somebody who has had these items will want next.

N rows, B batch, T items of a history, S items of the longest one, V codes.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.encoders.items import FIRST_ITEM, PADDING
from ml.metrics import ranking
from ml.metrics.base import Evaluation, Metric, wilson_interval
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Run, Signal, Slot
from ml.tasks.base import MODEL, Answer, Task
from ml.wire import HistoryInput, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.encoders.items import ItemsEncoder

DEPTH: Final = 10
SAMPLED: Final = 100
SEED: Final = 20_261_125
"""Of the sampled items, so that two models are judged against the same ones."""
MOST_ASKED: Final = 1000


class RecommendationConfig(Config):
    """What is recommended, and how strongly training is held back."""

    repeat: bool = False
    """Recommend items again that are in the history: right for songs and groceries, not for films."""
    sampled: int = Field(512, ge=0, le=65_536)
    """In training each item is told from so many others, drawn evenly at each step; 0: from all, which takes longer."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of the features that the head goes without in each training step."""


class RecommendationInput(HistoryInput):
    """Who asks, told by what they had; and how many they want."""

    count: int = Field(DEPTH, ge=1, le=MOST_ASKED, description="How many items to recommend")


class Recommended(Wire):
    """One item. Of one answer, a higher score is a better guess; the scores of all items are probabilities."""

    item: str
    score: float


class RecommendationOutput(Wire):
    """The best guesses first, and who asked as a point among users: alike histories lie near each other."""

    items: list[Recommended]
    profile: list[float] = Field(description="The state of the user; the same history has the same, so it can be kept")
    unknown: int = Field(0, description="Items of the history that training did not see; they were left out")


class Recommendation(Task):
    """The next item. Each step of a history is a lesson; each is judged by its last."""

    name = "recommendation"
    summary = "Recommend the items somebody will want next, from those they had; and tell users by their profile"
    slots: ClassVar[Mapping[str, Slot]] = {
        "history": Slot(
            reads=frozenset({Signal.TOKENS}),
            needs=frozenset({Feature.CAUSAL}),
            default_architecture="gpt",
            default_preset="narrow",
        )
    }
    columns: ClassVar[Mapping[str, str]] = {"history": "items"}
    reads: ClassVar[Mapping[str, str]] = {"history": "history"}
    encoders: ClassVar[Mapping[str, str]] = {"history": "items"}
    head = "next_token"
    config_type = RecommendationConfig
    input_type = RecommendationInput
    output_type = RecommendationOutput
    metrics: ClassVar[Mapping[str, Metric]] = {
        "hit_rate_at_10": Metric(
            "Share of histories whose last item is among the 10 recommended, of all items, from what came before it; "
            "an item that training did not see counts as missed",
            True,
        ),
        "ndcg_at_10": Metric(
            "Mean over histories of 1 / log2(1 + place) of the last item among the 10 recommended, 0 beyond", True
        ),
        "mean_reciprocal_rank": Metric(
            "Mean over histories of 1 / place of the last item among all items that can be recommended", True
        ),
        "hit_rate_at_10_of_100": Metric(
            f"As hit_rate_at_10, but among {SAMPLED} items drawn evenly (always the same ones) that the history does "
            "not hold, and the last item: the older measure, easier and less telling",
            True,
        ),
    }
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("history", "history_mask")}
    recipe = Schedule(
        epochs=40, batch_size=16, optimizer="adamw", learning_rate=3e-3, weight_decay=0.01, decay="one_cycle"
    )

    @property
    def items(self) -> ItemsEncoder:
        """Knows the items by code."""
        encoder: Any = self.slot_encoders["history"]
        return encoder  # type: ignore[no-any-return]  # the registry knows encoders by name alone

    @classmethod
    def learn(cls, config: RecommendationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Nothing: the encoder knows the items."""
        return {}

    def head_config(self) -> dict[str, Any]:
        """What holds training back, and how many items are enough to tell one from in a step."""
        config: RecommendationConfig = self.config
        # Fewer items are soon told from all.
        sampled = config.sampled if len(self.items.items) > 2 * config.sampled else 0
        return {**config.model_dump(exclude={"repeat"}), "sampled": sampled}

    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        """The history, and how many items are wanted."""
        asked = RecommendationInput.of(given, parameters=parameters)
        return {"history": asked.raw(), "count": asked.count}

    @classmethod
    def show(cls, row: Row) -> tuple[RecommendationInput, str | None]:
        """All but the last item, and the last."""
        *before, last = row["history"]
        return RecommendationInput(history=before), last

    def encode(self, rows: Rows) -> dict[str, Column]:
        """`history`: int64 [T] each, what came before; `wanted`: int64 [N], what came then, 0 where it is unknown.

        Asked rows want nothing yet, but a `count` of items; `unknown` of theirs were left out.
        """
        values = [list(value) for value in rows.columns["history"]]
        if "count" in rows.columns:
            history = self.items.encode(values)
            unknown = [len(value) - len(codes) for value, codes in zip(values, history, strict=True)]
            counts = np.array(list(rows.columns["count"]), dtype=np.int64)
            return {"history": history, "count": counts, "unknown": np.array(unknown, dtype=np.int64)}
        history = self.items.encode([value[:-1] for value in values])
        wanted = [self.items.code(value[-1]) or PADDING for value in values]
        return {
            "history": history,
            "wanted": np.array(wanted, dtype=np.int64),
            "judged": np.ones(len(values), dtype=bool),
        }

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """A stretch of each history, somewhere in it, in which every item is to be foretold from those before it."""
        longest = self.items.config.length - 1
        histories: list[np.ndarray] = []
        wanted: list[int] = []
        for before, last in zip(columns["history"], columns["wanted"], strict=True):
            whole = np.append(before, last) if last != PADDING else before
            start = int(generator.integers(0, max(0, len(whole) - longest) + 1))
            stretch = whole[start : start + longest]
            histories.append(stretch[:-1])
            wanted.append(int(stretch[-1]) if len(stretch) else PADDING)
        judged = np.zeros(len(histories), dtype=bool)
        return {"history": histories, "wanted": np.array(wanted, dtype=np.int64), "judged": judged}

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """The latest items, what is wanted behind them, and in `history_weight` float32 [B, T] what of it counts.

        In training every item does, when it is judged only the last. `seen` int64 [B, S] is all that was had.
        """
        histories = columns["history"]
        # So that no place is read later that no training row has filled: its last item only ever was the wanted one.
        latest = [row[max(0, len(row) - self.items.config.length + 2) :] for row in histories]
        others = {name: each for name, each in columns.items() if name != "history"}
        arrays = {**super().collate(others), "seen": _padded(histories)}
        if "wanted" not in columns:
            return {**arrays, **super().collate({"history": latest})}
        wanted = arrays["wanted"]
        known = wanted != PADDING
        arrays |= super().collate({"history": [_with(row, code) for row, code in zip(latest, wanted, strict=True)]})
        weight = arrays["history_mask"].astype(np.float32)
        last = arrays["history_mask"].sum(axis=1) - 1
        only_last = np.zeros_like(weight)
        only_last[np.arange(len(weight)), last] = known
        arrays["history_weight"] = np.where(arrays["judged"][:, None], only_last, weight)
        return arrays

    def answer(self, run: Run, batch: Arrays) -> Arrays:
        """What comes next; of a row whose next item is known, as if it were not."""
        if "wanted" not in batch:
            return run(MODEL, batch)
        mask = batch["history_mask"].copy()
        known = batch["wanted"] != PADDING
        mask[known, mask[known].sum(axis=1) - 1] = False
        return run(MODEL, {**batch, "history": np.where(mask, batch["history"], PADDING), "history_mask": mask})

    def decode(self, arrays: Arrays) -> list[Answer]:
        """From `logits` float [B, V] for what comes next, and `embedding` float [B, D]."""
        logits = self._allowed(arrays)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        answers: list[Answer] = []
        for row, count in enumerate(arrays["count"].tolist()):
            best = _best(logits[row], count)
            answers.append(
                RecommendationOutput(
                    items=[
                        Recommended(item=self.items.items[code - FIRST_ITEM], score=float(shares[row, code]))
                        for code in best.tolist()
                    ],
                    profile=arrays["embedding"][row].tolist(),
                    unknown=int(arrays["unknown"][row]),
                ).to_json()
            )
        return answers

    def collect(self, outputs: Arrays, batch: Arrays, answer: Callable[[], Arrays]) -> Arrays:
        """Where the last item stands, among all and among the sampled: int64 [B] each."""
        target = batch["wanted"]
        logits = self._allowed({**batch, **answer()})
        seen = [row[row != PADDING] for row in batch["seen"]]
        others = [sampled(row, code, logits.shape[1]) for row, code in zip(seen, target.tolist(), strict=True)]
        sampled_ranks = [
            _rank(logits[row, each], logits[row, code])
            for row, (code, each) in enumerate(zip(target.tolist(), others, strict=True))
        ]
        ranks = [_rank(each, each[code]) for each, code in zip(logits, target.tolist(), strict=True)]
        return {"rank": np.array(ranks), "sampled_rank": np.array(sampled_ranks)}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Beside it popularity: the same answer to all, the items most had in training, less those in the history."""
        metrics = _metrics(np.asarray(outputs["rank"]), np.asarray(outputs["sampled_rank"]))
        rows = len(outputs["rank"])
        target = np.asarray(columns["wanted"])
        baseline = self._popularity(columns["history"], target, train) if train is not None else {}
        return Evaluation(
            metrics,
            baseline,
            intervals={name: wilson_interval(metrics[name], rows) for name in metrics if name.startswith("hit_rate")},
            extra={
                "items": len(self.items.items),
                "targets_unknown": int((target == PADDING).sum()),
                "histories_cut": sum(len(each) > self.items.config.length - 2 for each in columns["history"]),
            },
        )

    def _allowed(self, arrays: Arrays) -> np.ndarray:
        """float32 [B, V]: what may not be recommended is minus infinity."""
        logits = arrays["logits"].astype(np.float32)
        logits[:, :FIRST_ITEM] = -np.inf
        if not self.config.repeat:
            logits[np.arange(len(logits))[:, None], arrays["seen"]] = -np.inf
        return logits

    def _popularity(self, histories: Column, target: np.ndarray, train: dict[str, Column]) -> dict[str, float]:
        vocabulary = self.items.shape()["vocabulary"]
        counts = np.bincount(np.concatenate([*train["history"], train["wanted"]]), minlength=vocabulary)
        # Of equally popular items, one is first by its code: what a list of the most popular would do, too.
        place = np.full(vocabulary, -1, dtype=np.int64)
        place[np.argsort(-counts[FIRST_ITEM:], kind="stable") + FIRST_ITEM] = np.arange(vocabulary - FIRST_ITEM)
        ranks, sampled_ranks = [], []
        for history, code in zip(histories, target.tolist(), strict=True):
            if code == PADDING or (not self.config.repeat and code in history):
                ranks.append(ranking.NOT_RANKED)
                sampled_ranks.append(ranking.NOT_RANKED)
                continue
            ahead = 0 if self.config.repeat else int((place[np.unique(history)] < place[code]).sum())
            ranks.append(int(place[code]) - ahead)
            sampled_ranks.append(int((place[sampled(history, code, vocabulary)] < place[code]).sum()))
        return _metrics(np.array(ranks), np.array(sampled_ranks))

    @classmethod
    def example(cls) -> tuple[RecommendationInput, RecommendationOutput]:
        """Three films, and what to see next."""
        items = [Recommended(item="1196", score=0.041), Recommended(item="1210", score=0.027)]
        output = RecommendationOutput(items=items, profile=[0.31, -1.2, 0.07], unknown=0)
        return RecommendationInput(history=["1", "260", "480"], count=2), output


def sampled(seen: np.ndarray, target: int, vocabulary: int) -> np.ndarray:
    """Up to 100 items evenly drawn from those that are neither had nor wanted; the same for the same row, always."""
    generator = np.random.default_rng([SEED, zlib.crc32(seen.astype("<i8").tobytes()), target])
    taken = np.zeros(vocabulary, dtype=bool)
    taken[:FIRST_ITEM] = True
    taken[seen] = True
    taken[target] = True
    free = np.flatnonzero(~taken)
    return generator.choice(free, size=min(SAMPLED, len(free)), replace=False)


def _metrics(ranks: np.ndarray, sampled_ranks: np.ndarray) -> dict[str, float]:
    return {
        "hit_rate_at_10": ranking.hit_rate(ranks, DEPTH),
        "ndcg_at_10": ranking.ndcg(ranks, DEPTH),
        "mean_reciprocal_rank": ranking.mean_reciprocal_rank(ranks),
        "hit_rate_at_10_of_100": ranking.hit_rate(sampled_ranks, DEPTH),
    }


def _rank(scores: np.ndarray, own: float) -> int:
    """How many scores stand before; of equal ones half: a model that says nothing is not the best."""
    if not np.isfinite(own):
        return ranking.NOT_RANKED
    return int((scores > own).sum() + max(0, int((scores == own).sum()) - 1) // 2)


def _best(logits: np.ndarray, count: int) -> np.ndarray:
    """The codes of the highest, the highest first; fewer where there are not so many."""
    count = min(count, int(np.isfinite(logits).sum()))
    chosen = np.argpartition(-logits, count - 1)[:count] if count else np.empty(0, dtype=np.int64)
    return np.asarray(chosen[np.lexsort((chosen, -logits[chosen]))])


def _with(history: np.ndarray, code: int) -> np.ndarray:
    return np.append(history, code) if code != PADDING else history


def _padded(rows: Column) -> np.ndarray:
    """int64 [N, S]."""
    padded = np.full((len(rows), max((len(row) for row in rows), default=0)), PADDING, dtype=np.int64)
    for row, codes in enumerate(rows):
        padded[row, : len(codes)] = codes
    return padded
