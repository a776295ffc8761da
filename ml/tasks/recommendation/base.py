"""Base class of the tasks that recommend the next items of a history.

N rows, B batch, T positions of a history, S items of the longest history, V codes.
"""

from __future__ import annotations

import zlib
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ml.config import Config
from ml.encoders.items import FIRST_ITEM, PADDING
from ml.metrics import ranking
from ml.metrics.base import Evaluation, Metric, wilson_interval
from ml.preprocessing.item_titles import TITLES, ItemTitles
from ml.preprocessing.user_histories import HISTORIES, UserHistories, complete_history
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Run, Signal, Slot
from ml.tasks.base import MODEL, Output, Task
from ml.tasks.recommendation._interaction_weights import COLUMNS, WEIGHTS, InteractionWeights, check_event_weights
from ml.wire import HistoryInput, Wire
from ml.wire.items import Item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from ml.data.dataset import DatasetSummary
    from ml.data.item_table import ItemTable
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.encoders.items import ItemsEncoder

DEPTH: Final = 10
NOT_RANKED: Final = ranking.NOT_RANKED
#: Items among which the target is ranked for `hit_rate_at_10_of_100`.
SAMPLED_ITEMS: Final = 100
#: Seed of the sampled items, so that two models are evaluated against the same ones.
SEED: Final = 20_261_125
MAX_COUNT: Final = 1000
#: Users that a report shows, and the items of one of them: the latest, and those recommended.
EXAMPLES, EXAMPLE_ITEMS = 8, 5
MAX_EVENT_WEIGHT: Final = 1000
#: Encoded columns of weighted interactions: weight of each item of a history, of the target, and code of its event.
ITEM_WEIGHTS, TARGET_WEIGHT, TARGET_EVENT = "item_weights", "target_weight", "target_event"


class RecommendationConfig(Config):
    """Repetition of items, negative sampling and regularization."""

    repeat: bool = Field(
        False,
        description="Recommend items of the history again: right for songs and groceries, not for movies.",
    )
    sampled: int = Field(
        512,
        ge=0,
        le=65_536,
        description="Negative items per training step, drawn uniformly (sampled softmax). 0: all items, which takes "
        "longer.",
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")
    event_weights: dict[str, Annotated[float, Field(ge=0, le=MAX_EVENT_WEIGHT)]] | None = Field(
        None,
        description='Weight in the loss of each event of the data, such as {"view": 1, "purchase": 5}; others weigh 1. '
        "Default: the root of how much rarer an event is than the most frequent one, at most 10, and 0 for rejections "
        "such as a dislike or a refund.",
    )
    rating_weights: Literal["equal", "proportional"] = Field(
        "equal",
        description="Weight in the loss of an interaction with a rating: the same for all, or proportional to it.",
    )
    keep_histories: bool = Field(
        True,
        description="Store the items of each user in the model, so that a request may name a `user`. Set it to false "
        "if the files of the model must not hold ids of users.",
    )


class RecommendationInput(HistoryInput):
    """The history or the id of a user, and the number of items to recommend."""

    history: list[Item] = Field(
        default_factory=list,
        max_length=100_000,
        description="Item ids, oldest first; [] for a new user. With `user`, the items since the training",
    )
    user: Item | None = Field(
        None, description="Id of a user of the training data, whose items are read from the model, before `history`"
    )
    count: int = Field(DEPTH, ge=1, le=MAX_COUNT, description="Number of items to recommend")

    @model_validator(mode="after")
    def _has_user_or_history(self) -> Self:
        if self.user is None and "history" not in self.model_fields_set:
            raise ValueError('an input needs "history", the item ids of a user, or "user", an id of the training data')
        return self


class Recommended(Wire):
    """One recommended item."""

    item: str
    title: str | None = Field(None, description="Its title in the table of items; null without one")
    score: float = Field(description="Probability that this is the next item, among all that can be recommended")


class RecommendationOutput(Wire):
    """Recommended items by decreasing score, and an embedding of the user."""

    items: list[Recommended]
    profile: list[float] = Field(
        description="Embedding of the user, close to that of users with similar histories; one history has one profile"
    )
    unknown: int = Field(0, description="Number of items of the history that are not in the training data; ignored")


HISTORY: Final = Slot(
    reads=frozenset({Signal.TOKENS}),
    needs=frozenset({Feature.CAUSAL}),
    default_architecture="gpt",
    default_preset="narrow",
)


class NextItemTask(Task):
    """Predicts the next item of a history. Training predicts every item, evaluation the last."""

    slots: ClassVar[Mapping[str, Slot]] = {"history": HISTORY}
    columns: ClassVar[Mapping[str, str]] = {"history": "items"}
    optional_columns: ClassVar[Mapping[str, str]] = {
        "user": "user",
        "events": "events",
        "ratings": "numbers",
        "weights": "numbers",
    }
    #: Histories of the users of the training data; None without any.
    user_histories: UserHistories | None = None
    #: Titles of the items in the dataset's table of items.
    titles: ItemTitles = ItemTitles()
    encoded_columns: ClassVar[Mapping[str, str]] = {"history": "history"}
    encoders: ClassVar[Mapping[str, str]] = {"history": "items"}
    config_type: ClassVar[type[Config]] = RecommendationConfig
    input_type = RecommendationInput
    output_type = RecommendationOutput
    metrics: ClassVar[Mapping[str, Metric]] = {
        "hit_rate_at_10": Metric(
            "Fraction of histories whose last item is among the 10 recommended, of all items, from the items before; "
            "an item that is not in the training data counts as a miss",
            True,
        ),
        "ndcg_at_10": Metric(
            "Mean over histories of 1 / log2(1 + rank) of the last item among the 10 recommended, 0 beyond", True
        ),
        "mean_reciprocal_rank": Metric(
            "Mean over histories of 1 / rank of the last item among all items that can be recommended", True
        ),
        "hit_rate_at_10_of_100": Metric(
            f"As hit_rate_at_10, but among the last item and {SAMPLED_ITEMS} items drawn uniformly (the same for every "
            "model) from those that are not in the history: an older metric, easier and less informative",
            True,
        ),
    }
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("history", "history_mask")}
    recipe = Schedule(
        epochs=40, batch_size=16, optimizer="adamw", learning_rate=3e-3, weight_decay=0.01, decay="one_cycle"
    )

    @property
    def items_encoder(self) -> ItemsEncoder:
        """The encoder, which has the items by code."""
        encoder: Any = self.slot_encoders["history"]
        return encoder  # type: ignore[no-any-return]  # the registry knows encoders by name alone

    @classmethod
    def check_options(cls, config: Mapping[str, Any], summary: DatasetSummary) -> list[str]:
        """Return why weights of events or ratings do not fit a dataset."""
        return super().check_options(config, summary) + check_event_weights(config, summary)

    @classmethod
    def learn(cls, config: RecommendationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return the weights of interactions; the encoder has the items."""
        weights = InteractionWeights.learn(rows, config.event_weights, rating_weights=config.rating_weights)
        return {"interaction_weights": weights} if weights else {}

    @cached_property
    def interaction_weights(self) -> InteractionWeights:
        """Weights of interactions in the loss."""
        return InteractionWeights(self.state.get("interaction_weights", {}))

    def head_config(self) -> dict[str, Any]:
        """Return the dropout, and the number of sampled negative items."""
        config: RecommendationConfig = self.config
        # With few items, all of them are fast.
        sampled = config.sampled if len(self.items_encoder.items) > 2 * config.sampled else 0
        return {"dropout": config.dropout, "sampled": sampled}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Return the history, and the number of items to recommend."""
        request = RecommendationInput.of(raw_input, parameters=parameters)
        return {"history": self.history_of(request), "count": request.count}

    def history_of(self, request: RecommendationInput) -> list[str]:
        """Return the items of a request, after those of its user.

        Raises `InputError` for a user that is not stored.
        """
        return complete_history(request.user, request.history, self.items_encoder.items, self.user_histories)

    def store_rows(self, splits: Mapping[str, Rows]) -> None:
        """Store the titles of items, and the longest history of each user.

        The longest one is that of the last split.
        """
        tables = (rows.item_table for rows in splits.values() if rows.item_table is not None)
        self.titles = next(map(titles_of, tables), ItemTitles())
        config: RecommendationConfig = self.config
        longest: dict[str, np.ndarray] = {}
        for rows in splits.values() if config.keep_histories else ():
            if "user" not in rows.columns:
                continue
            for user, history in zip(rows.columns["user"], rows.columns["history"], strict=True):
                codes = [code for item in history if (code := self.items_encoder.code(item)) is not None]
                if user is not None and len(codes) >= len(longest.get(user, ())):
                    longest[user] = np.array(codes, dtype=np.int32)
        self.user_histories = UserHistories.of(longest) if longest else None

    def save_files(self, folder: Path) -> None:
        """Write the histories of users and the titles of items."""
        if self.titles.titles:
            self.titles.save(folder / TITLES)
        if self.user_histories is not None:
            self.user_histories.save(folder / HISTORIES)

    def load_files(self, files: Mapping[str, Path]) -> None:
        """Load the histories of users and the titles of items.

        Raises `ValueError` for a damaged file, and for items that the model lacks.
        """
        if TITLES in files:
            self.titles = ItemTitles.load(files[TITLES])
        if HISTORIES not in files:
            return
        histories = UserHistories.load(files[HISTORIES])
        codes, vocabulary = histories.codes, self.items_encoder.shape()["vocabulary"]
        if len(codes) and (codes.min() < FIRST_ITEM or codes.max() >= vocabulary):
            raise ValueError(f"{HISTORIES} is damaged: it has items that the model lacks")
        self.user_histories = histories

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[RecommendationInput, str | None]:
        """Return all items but the last, and the last."""
        *before, last = row["history"]
        return RecommendationInput(history=before), last

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return `history`, int64 [T] per row, and `target` int64 [N].

        The target is the next item; 0 if it is unknown. Requests have no target but `count`, the items to recommend,
        and `unknown`, the items that were ignored. `is_evaluated` bool [N] is true until `augment` makes the rows
        training samples. Interactions with weights have `item_weights`, float32 [T] per row, `target_weight` float32
        [N], and `target_event` int64 [N], the code of the event of the target.
        """
        values = [list(value) for value in rows.columns["history"]]
        if "count" in rows.columns:
            history = self.items_encoder.encode(values)
            unknown = [len(value) - len(codes) for value, codes in zip(values, history, strict=True)]
            counts = np.array(list(rows.columns["count"]), dtype=np.int64)
            return {"history": history, "count": counts, "unknown": np.array(unknown, dtype=np.int64)}
        history = self.items_encoder.encode([value[:-1] for value in values])
        targets = [self.items_encoder.code(value[-1]) or PADDING for value in values]
        columns: dict[str, Column] = {
            "history": history,
            "target": np.array(targets, dtype=np.int64),
            "is_evaluated": np.ones(len(values), dtype=bool),
        }
        return columns | self._encode_weights(values, rows) if self.interaction_weights.has_columns else columns

    def _encode_weights(self, values: list[list[str]], rows: Rows) -> dict[str, Column]:
        weights = self.interaction_weights
        present: dict[str, Any] = {name: rows.columns[name] for name in COLUMNS if name in rows.columns}
        items, last, events = [], [], []
        for index, value in enumerate(values):
            row: dict[str, Any] = {name: column[index] for name, column in present.items()}
            all_weights = weights.weigh(row, len(value))
            is_known = [self.items_encoder.code(item) is not None for item in value[:-1]]
            items.append(all_weights[:-1][is_known])
            last.append(all_weights[-1])
            events.append(weights.code_of_last(row))
        return {
            ITEM_WEIGHTS: items,
            TARGET_WEIGHT: np.array(last, dtype=np.float32),
            TARGET_EVENT: np.array(events, dtype=np.int64),
        }

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Cut a random window out of each history; training predicts all of its items."""
        max_length = self.items_encoder.config.length - 1
        histories: list[np.ndarray] = []
        targets: list[int] = []
        item_weights: list[np.ndarray] = []
        target_weights = []
        for row, (before, last) in enumerate(zip(columns["history"], columns["target"], strict=True)):
            whole = np.append(before, last) if last != PADDING else before
            start = int(generator.integers(0, max(0, len(whole) - max_length) + 1))
            window = whole[start : start + max_length]
            histories.append(window[:-1])
            targets.append(int(window[-1]) if len(window) else PADDING)
            if ITEM_WEIGHTS in columns:
                weights = np.append(columns[ITEM_WEIGHTS][row], columns[TARGET_WEIGHT][row])
                weights = weights[start : start + len(window)]
                item_weights.append(weights[:-1])
                target_weights.append(weights[-1] if len(window) else 0)
        augmented: dict[str, Column] = {
            "history": histories,
            "target": np.array(targets, dtype=np.int64),
            "is_evaluated": np.zeros(len(histories), dtype=bool),
        }
        if ITEM_WEIGHTS in columns:
            augmented |= {
                ITEM_WEIGHTS: item_weights,
                TARGET_WEIGHT: np.array(target_weights, dtype=np.float32),
                # Hit rates by event are those of evaluated rows.
                TARGET_EVENT: np.zeros(len(histories), dtype=np.int64),
            }
        return augmented

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Return the latest items with the target behind them, and `full_history` int64 [B, S].

        `history_weight` float32 [B, T] is the weight of each position in the loss: all count in training, only the last
        in evaluation, where its interaction has no weight.
        """
        histories = columns["history"]
        columns = dict(columns)
        item_weights, target_weight = columns.pop(ITEM_WEIGHTS, None), columns.pop(TARGET_WEIGHT, None)
        columns.pop(TARGET_EVENT, None)
        # One less than fits: in training, the last position only ever held the target.
        latest = [row[max(0, len(row) - self.items_encoder.config.length + 2) :] for row in histories]
        scalars = {name: column for name, column in columns.items() if name != "history"}
        arrays = {**super().collate(scalars), "full_history": _pad(histories)}
        if "target" not in columns:
            return {**arrays, **super().collate({"history": latest})}
        targets = arrays["target"]
        with_targets = [_append(row, code) for row, code in zip(latest, targets, strict=True)]
        arrays |= super().collate({"history": with_targets})
        weight = arrays["history_mask"].astype(np.float32)
        if item_weights is not None and target_weight is not None:
            for row, (codes, weights) in enumerate(zip(latest, item_weights, strict=True)):
                own = np.append(weights[len(weights) - len(codes) :], target_weight[row])
                width = len(codes) + int(targets[row] != PADDING)
                weight[row, 1 : 1 + width] = own[:width]
        last = arrays["history_mask"].sum(axis=1) - 1
        only_last = np.zeros_like(weight)
        rows = np.arange(len(weight))
        only_last[rows, last] = weight[rows, last] * (targets != PADDING)
        arrays["history_weight"] = np.where(arrays["is_evaluated"][:, None], only_last, weight)
        return arrays

    def predict(self, run: Run, batch: Arrays) -> Arrays:
        """Predict the next item; a target in the history is hidden."""
        if "target" not in batch:
            return run(MODEL, batch)
        mask = batch["history_mask"].copy()
        has_target = batch["target"] != PADDING
        mask[has_target, mask[has_target].sum(axis=1) - 1] = False
        return run(MODEL, {**batch, "history": np.where(mask, batch["history"], PADDING), "history_mask": mask})

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `logits` float [B, V] of the next item, and `embedding` float [B, D]."""
        logits = self.mask_logits(arrays)
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        outputs: list[Output] = []
        for row, count in enumerate(arrays["count"].tolist()):
            items = [
                self.recommend(arrays, row, code, score=float(probabilities[row, code]))
                for code in _top_codes(logits[row], count).tolist()
            ]
            output = RecommendationOutput(
                items=items, profile=arrays["embedding"][row].tolist(), unknown=int(arrays["unknown"][row])
            )
            outputs.append(output.to_json())
        return outputs

    def recommend(self, arrays: Arrays, row: int, code: int, *, score: float) -> Recommended:
        """Return an item by its code, with its title."""
        item = self.items_encoder.items[code - FIRST_ITEM]
        return Recommended(item=item, title=self.titles.title_of(item), score=score)

    def collect(self, outputs: Arrays, batch: Arrays, predict: Callable[[], Arrays]) -> Arrays:
        """Return ranks of the target, int64 [B], and the best items, int64 [B, 5].

        `rank` is among all items, `sampled_rank` among sampled ones. In `top`, 0 stands for no item where less than
        five can be recommended.
        """
        targets = batch["target"].tolist()
        logits = self.mask_logits({**batch, **predict()})
        histories = [row[row != PADDING] for row in batch["full_history"]]
        ranks = [rank_of(scores, scores[code]) for scores, code in zip(logits, targets, strict=True)]
        sampled_ranks = [
            rank_of(scores[sample_items(history, code, len(scores))], scores[code])
            for scores, history, code in zip(logits, histories, targets, strict=True)
        ]
        best = [_top_codes(scores, EXAMPLE_ITEMS) for scores in logits]
        top = np.array([np.pad(codes, (0, EXAMPLE_ITEMS - len(codes))) for codes in best])
        return {"rank": np.array(ranks), "sampled_rank": np.array(sampled_ranks), "top": top}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute hit rate, NDCG and mean reciprocal rank.

        The baseline recommends the most popular items of training to everybody, without those of the history.
        """
        metrics = rank_metrics(np.asarray(outputs["rank"]), np.asarray(outputs["sampled_rank"]))
        rows = len(outputs["rank"])
        targets = np.asarray(columns["target"])
        baseline = self._popularity(columns["history"], targets, train) if train is not None else {}
        max_length = self.items_encoder.config.length - 2
        weights = self.state.get("interaction_weights")
        weighted = {"interaction_weights": self._describe_weights(outputs, columns)} if weights else {}
        return Evaluation(
            metrics,
            baseline,
            intervals={name: wilson_interval(metrics[name], rows) for name in metrics if name.startswith("hit_rate")},
            notes=_notes(np.asarray(outputs["rank"]), metrics, items=len(self.items_encoder.items)),
            extra={
                "items": len(self.items_encoder.items),
                "targets_unknown": int((targets == PADDING).sum()),
                "histories_cut": sum(len(history) > max_length for history in columns["history"]),
                "stored_users": 0 if self.user_histories is None else len(self.user_histories),
                "recommendations": self._choose_examples(outputs, columns),
                **weighted,
            },
        )

    def _choose_examples(self, outputs: dict[str, Column], columns: dict[str, Column]) -> list[dict[str, Any]]:
        """Return users spread over the split, with their items and recommendations."""
        rows = len(outputs["rank"])
        examples = []
        for index in dict.fromkeys(np.linspace(0, rows - 1, EXAMPLES).astype(int).tolist() if rows else []):
            rank = int(outputs["rank"][index])
            examples.append(
                {
                    "index": index,
                    "history": self._name_codes(columns["history"][index][-EXAMPLE_ITEMS:]),
                    "next": next(iter(self._name_codes([columns["target"][index]])), None),
                    "recommended": self._name_codes(outputs["top"][index]),
                    # From 1; None for an item that could not be recommended.
                    "rank": None if rank >= NOT_RANKED else rank + 1,
                }
            )
        return examples

    def _name_codes(self, codes: Iterable[int]) -> list[dict[str, str | None]]:
        items = [self.items_encoder.items[code - FIRST_ITEM] for code in map(int, codes) if code >= FIRST_ITEM]
        return [{"item": item, "title": self.titles.title_of(item)} for item in items]

    def _describe_weights(self, outputs: dict[str, Column], columns: dict[str, Column]) -> dict[str, Any]:
        """Return how interactions were weighed, and the hit rate of the targets of each event."""
        state = self.state["interaction_weights"]
        section: dict[str, Any] = {
            "events": {},
            "source": state.get("source"),
            "mean_rating": state.get("mean_rating"),
            "has_weight_column": WEIGHTS in state,
        }
        ranks, codes = np.asarray(outputs["rank"]), np.asarray(columns[TARGET_EVENT])
        for code, name in enumerate(self.interaction_weights.names):
            own = ranks[codes == code]
            hit_rate = ranking.hit_rate(own, DEPTH) if len(own) else None
            section["events"][name] = {
                "weight": state["events"][name],
                "interactions": state["counts"][name],
                "rows": len(own),
                "hit_rate_at_10": hit_rate,
                "interval": None if hit_rate is None else wilson_interval(hit_rate, len(own)),
            }
        return section

    def mask_logits(self, arrays: Arrays) -> np.ndarray:
        """Return float32 [B, V], with minus infinity for what may not be recommended."""
        logits = arrays["logits"].astype(np.float32)
        logits[:, :FIRST_ITEM] = -np.inf
        if not self.config.repeat:
            logits[np.arange(len(logits))[:, None], arrays["full_history"]] = -np.inf
        return logits

    def _popularity(self, histories: Column, targets: np.ndarray, train: dict[str, Column]) -> dict[str, float]:
        vocabulary = self.items_encoder.shape()["vocabulary"]
        counts = np.bincount(np.concatenate([*train["history"], train["target"]]), minlength=vocabulary)
        # Equally popular items are ordered by code, as in a list of the most popular.
        popularity_rank = np.full(vocabulary, -1, dtype=np.int64)
        popularity_rank[np.argsort(-counts[FIRST_ITEM:], kind="stable") + FIRST_ITEM] = np.arange(
            vocabulary - FIRST_ITEM
        )
        ranks, sampled_ranks = [], []
        for history, code in zip(histories, targets.tolist(), strict=True):
            if code == PADDING or (not self.config.repeat and code in history):
                ranks.append(NOT_RANKED)
                sampled_ranks.append(NOT_RANKED)
                continue
            ahead = (
                0 if self.config.repeat else int((popularity_rank[np.unique(history)] < popularity_rank[code]).sum())
            )
            ranks.append(int(popularity_rank[code]) - ahead)
            sampled_ranks.append(
                int((popularity_rank[sample_items(history, code, vocabulary)] < popularity_rank[code]).sum())
            )
        return rank_metrics(np.array(ranks), np.array(sampled_ranks))

    @classmethod
    def example(cls) -> tuple[RecommendationInput, RecommendationOutput]:
        """Three movies, and two recommended ones."""
        items = [Recommended(item="1196", score=0.041), Recommended(item="1210", score=0.027)]
        output = RecommendationOutput(items=items, profile=[0.31, -1.2, 0.07], unknown=0)
        return RecommendationInput(history=["1", "260", "480"], count=2), output


def sample_items(history: np.ndarray, target: int, vocabulary: int) -> np.ndarray:
    """Draw up to 100 items uniformly, without those of the history and the target.

    The same history and target always get the same items.
    """
    generator = np.random.default_rng([SEED, zlib.crc32(history.astype("<i8").tobytes()), target])
    is_excluded = np.zeros(vocabulary, dtype=bool)
    is_excluded[:FIRST_ITEM] = True
    is_excluded[history] = True
    is_excluded[target] = True
    candidates = np.flatnonzero(~is_excluded)
    return generator.choice(candidates, size=min(SAMPLED_ITEMS, len(candidates)), replace=False)


def titles_of(table: ItemTable) -> ItemTitles:
    """Return the titles in a table of items."""
    texts = [name for name, column in table.columns.items() if column.kind == "text"]
    return ItemTitles.of(table.ids, table.cells, texts)


def rank_metrics(ranks: np.ndarray, sampled_ranks: np.ndarray) -> dict[str, float]:
    """Return the metrics of ranks among all items, and among sampled ones."""
    return {
        "hit_rate_at_10": ranking.hit_rate(ranks, DEPTH),
        "ndcg_at_10": ranking.ndcg(ranks, DEPTH),
        "mean_reciprocal_rank": ranking.mean_reciprocal_rank(ranks),
        "hit_rate_at_10_of_100": ranking.hit_rate(sampled_ranks, DEPTH),
    }


def _notes(ranks: np.ndarray, metrics: Mapping[str, float], *, items: int) -> list[str]:
    """Return notes on metrics that others define otherwise, or that cannot tell models apart."""
    notes = []
    at_depth = ranking.reciprocal_rank_at(ranks, DEPTH)
    if at_depth != metrics["mean_reciprocal_rank"]:
        notes.append(
            f"mean_reciprocal_rank counts ranks among all {items:,} items; MRR@{DEPTH}, as others define it with 0 for "
            f"ranks beyond {DEPTH}, is {at_depth:.4g}"
        )
    if items <= DEPTH:
        notes.append(f"hit_rate_at_10 is high whatever is recommended, since there are only {items} items")
    return notes


def rank_of(scores: np.ndarray, target_score: float) -> int:
    """Return how many scores are higher, plus half of the equal ones.

    Otherwise, a model with constant scores would be the best.
    """
    if not np.isfinite(target_score):
        return NOT_RANKED
    return int((scores > target_score).sum() + max(0, int((scores == target_score).sum()) - 1) // 2)


def _top_codes(logits: np.ndarray, count: int) -> np.ndarray:
    """Return the codes of the highest finite logits, at most `count`, in order."""
    count = min(count, int(np.isfinite(logits).sum()))
    codes = np.argpartition(-logits, count - 1)[:count] if count else np.empty(0, dtype=np.int64)
    return np.asarray(codes[np.lexsort((codes, -logits[codes]))])


def _append(history: np.ndarray, code: int) -> np.ndarray:
    return np.append(history, code) if code != PADDING else history


def _pad(rows: Column) -> np.ndarray:
    """Pad rows to int64 [N, S]."""
    padded = np.full((len(rows), max((len(row) for row in rows), default=0)), PADDING, dtype=np.int64)
    for row, codes in enumerate(rows):
        padded[row, : len(codes)] = codes
    return padded
