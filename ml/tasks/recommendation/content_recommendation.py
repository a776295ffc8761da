"""Recommendation by texts and behavior: also of items that nobody has had yet.

N rows, B batch, T positions of a history, K new items of a row, M new items of a batch, V known items, D width.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from ml.data.item_table import ItemColumn, describe_item, is_blank, to_cell
from ml.data.rows import Rows
from ml.encoders.items import FIRST_ITEM, PADDING, CatalogHistories
from ml.errors import SpecError
from ml.metrics import ranking
from ml.metrics.base import Evaluation, wilson_interval
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Run, Signal, Slot
from ml.tasks.base import MODEL, Output
from ml.tasks.recommendation._portrait import ItemTraits, Portrait, TraitTable
from ml.tasks.recommendation.base import (
    DEPTH,
    HISTORY,
    NOT_RANKED,
    SAMPLED_ITEMS,
    SEED,
    NextItemTask,
    RecommendationConfig,
    RecommendationInput,
    RecommendationOutput,
    Recommended,
    rank_metrics,
    rank_of,
    sample_items,
)
from ml.wire import Wire
from ml.wire.items import Item

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row
    from ml.encoders.base import Column
    from ml.encoders.text import TextEncoder

TEXT: Final = "text"
#: Default limit of the tokens of one item.
MAX_TOKENS: Final = 64
MAX_NEW_ITEMS: Final = 1000
#: Tokens that are read by one call, padding included: the inputs of a request may have many new items each.
MAX_TEXT_STEPS: Final = 4096
#: Names of arrays: vectors to add to histories, position of new items, and the row that each new item belongs to.
HIT_RATE_AMONG_NEW: Final = "hit_rate_at_10_of_100_new"
VECTORS, NEW_POSITIONS, TEXT_ROWS = "history_vectors", "history_new", "text_row"


class ContentRecommendationConfig(RecommendationConfig):
    """Repetition, negative sampling, regularization, and own vectors of items."""

    own_vector_from: int = Field(
        2,
        ge=1,
        le=1_000_000,
        description="Items that occur this often in training histories have a vector of their own beside their text.",
    )
    own_dropout: float = Field(
        0.1, ge=0, lt=1, description="Fraction of own vectors that a training step leaves out, as new items have none."
    )


class NewItem(Wire):
    """An item that the model does not know, with columns of the table of items."""

    model_config = ConfigDict(extra="allow")

    item: Item

    @property
    def fields(self) -> dict[str, str]:
        """The columns as text."""
        return {name: to_cell(value) for name, value in (self.model_extra or {}).items()}

    @model_validator(mode="after")
    def _has_text(self) -> Self:
        if all(map(is_blank, self.fields.values())):
            raise ValueError(f"item {self.item!r} has no text; add a title or a description")
        return self


class ContentRecommendationInput(RecommendationInput):
    """The history of a user, new items, and the number of items to recommend."""

    items: list[NewItem] = Field(
        default_factory=list,
        max_length=MAX_NEW_ITEMS,
        description='New items by their texts, such as {"item": "x1", "title": "Green tea"}; they may be in the '
        "history, and are recommended like others. Known items need no text",
    )
    portrait: bool = Field(False, description="Whether to describe the user by the columns of the items in the history")


class ContentRecommendationOutput(RecommendationOutput):
    """Recommended items, an embedding of the user, and a portrait if requested."""

    portrait: Portrait | None = Field(None, description="What the items of the history have in common")


class ContentRecommendation(NextItemTask):
    """Predicts the next item, by its text and, if seen often, its own vector."""

    name = "content_recommendation"
    summary = "Recommend items by their texts and by behavior, also items that nobody has had yet (cold start)"
    slots: ClassVar[Mapping[str, Slot]] = {
        "history": HISTORY,
        TEXT: Slot(
            reads=frozenset({Signal.TOKENS}),
            needs=frozenset({Feature.POOLED}),
            default_architecture="text_cnn",
            default_preset="bag",
        ),
    }
    table_slots = frozenset({TEXT})
    encoded_columns: ClassVar[Mapping[str, str]] = {"history": "history", TEXT: TEXT}
    encoders: ClassVar[Mapping[str, str]] = {"history": "items", TEXT: "text"}
    head = "next_item"
    config_type = ContentRecommendationConfig
    input_type = ContentRecommendationInput
    output_type = ContentRecommendationOutput
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {
        MODEL: ("history", "history_mask", VECTORS),
        TEXT: (TEXT, f"{TEXT}_mask"),
    }
    variable_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {VECTORS: (1,)}
    recipe = Schedule(
        epochs=40, batch_size=16, optimizer="adamw", learning_rate=3e-3, weight_decay=0.01, decay="one_cycle"
    )
    #: No column of a request is a text that may be cut.
    text_columns: ClassVar[Mapping[str, str]] = {}

    @property
    def text_encoder(self) -> TextEncoder:
        """The encoder of the texts of items."""
        encoder: Any = self.slot_encoders[TEXT]
        return encoder  # type: ignore[no-any-return]  # the registry knows encoders by name alone

    @classmethod
    def check_dataset(cls, summary: DatasetSummary) -> list[str]:
        """Return the reasons why a dataset does not fit; it needs a table of items."""
        reasons = super().check_dataset(summary)
        if summary.item_table is None:
            reasons.append(f"{cls.name} needs a table of items beside the interactions: items.csv with item and title")
        return reasons

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Read whole words in lower case, and a limited number of them."""
        return {TEXT: {"prefers_words": True, "max_length": MAX_TOKENS}}

    @classmethod
    def encoder_values(cls, name: str, rows: Rows) -> Sequence[Any]:
        """Return the histories with the items that they lack, or the texts."""
        table = rows.item_table
        if table is None:
            raise SpecError("the dataset has no table of items", hint="Upload items.csv with the interactions.")
        if name == TEXT:
            return [table.text(row) for row in range(len(table))]
        histories = rows.columns["history"]
        seen = {item for history in histories for item in history}
        return CatalogHistories(histories, [item for item in table.ids if item not in seen])

    @classmethod
    def learn(cls, config: RecommendationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return columns and traits of items, and the number of own vectors."""
        assert rows.item_table is not None, "checked with the dataset"
        assert isinstance(config, ContentRecommendationConfig), "an instance of `config_type`"
        counts = Counter(item for history in rows.columns["history"] for item in history)
        return {
            **super().learn(config, summary, rows),
            "columns": {name: column.model_dump() for name, column in rows.item_table.columns.items()},
            "items_with_own_vector": sum(count >= config.own_vector_from for count in counts.values()),
            "unseen": [item for item in rows.item_table.ids if item not in counts],
            "traits": TraitTable.learn(rows.item_table),
        }

    def item_texts(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return the tokens of the texts of all items, int64 [V, L], and their mask."""
        table = rows.item_table
        assert table is not None, "checked with the dataset"
        table_rows = [table.row_by_id.get(item) for item in self.items_encoder.items]
        texts = ["" if row is None else table.text(row) for row in table_rows]
        tokens = self.text_encoder.encode(texts)
        encoded = [np.empty(0, dtype=np.int64)] * FIRST_ITEM
        encoded += [row if text else row[:0] for row, text in zip(tokens, texts, strict=True)]
        arrays = self.text_encoder.collate(encoded)
        return arrays["signal"], arrays["mask"]

    def head_config(self) -> dict[str, Any]:
        """Return dropout, negative items, and the number of own vectors."""
        config: ContentRecommendationConfig = self.config
        own = FIRST_ITEM + int(self.state["items_with_own_vector"])
        # An unseen item would only ever be a negative one, and its words would be learned as unwanted.
        negatives = self._vocabulary - int(self._is_unseen.sum())
        return {
            "own": own,
            "negatives": negatives,
            "own_dropout": config.own_dropout,
            "dropout": config.dropout,
            "sampled": config.sampled if negatives > 2 * config.sampled else 0,
        }

    def bind_widths(self, widths: Mapping[str, Any]) -> None:
        """Store the width of item vectors."""
        self.state["width"] = widths["history"].causal

    @cached_property
    def columns_of_items(self) -> Mapping[str, ItemColumn]:
        """Columns of the table of items."""
        return {name: ItemColumn.model_validate(column) for name, column in self.state["columns"].items()}

    @cached_property
    def traits(self) -> TraitTable:
        """Traits of the items of the table."""
        return TraitTable(self.state["traits"])

    @property
    def _vocabulary(self) -> int:
        return self.items_encoder.shape()["vocabulary"]

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Return the history, the number of items to recommend, and the new items by id."""
        request = ContentRecommendationInput.of(raw_input, parameters=parameters)
        new = {item.item: item.fields for item in request.items}
        return {
            "history": self.history_of(request),
            "count": request.count,
            "new_items": new,
            "portrait": request.portrait,
        }

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[ContentRecommendationInput, str | None]:
        """Return all items but the last, and the last."""
        *before, last = row["history"]
        return ContentRecommendationInput(history=before), last

    def request_of(self, row: Row) -> ContentRecommendationInput:
        """Return a request whose history ends with a new item.

        It has the traits of the last item.
        """
        before = list(row["history"][:-1])
        traits = self.traits.traits_of(row["history"][-1]) or ItemTraits()
        text = " ".join([name for names in traits.categories.values() for name in names] + list(traits.words))
        new = NewItem.model_validate({"item": "a new item", "text": text or "an item without a text"})
        return ContentRecommendationInput(history=[*before, new.item], items=[new])

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return the columns of `NextItemTask`; requests have further ones.

        These are `new_items`, the ids and fields of the new items of each row, whose codes in its history follow those
        of known items; their tokens `new_tokens`; `ids` of the history, and `portrait`.
        """
        if "count" not in rows.columns:
            return super().encode(rows)
        histories = [list(history) for history in rows.columns["history"]]
        new_items: list[list[tuple[str, dict[str, str]]]] = []
        encoded, unknown = [], []
        for history, items in zip(histories, rows.columns["new_items"], strict=True):
            new = [(item, fields) for item, fields in items.items() if self.items_encoder.code(item) is None]
            new_codes = {item: self._vocabulary + number for number, (item, _) in enumerate(new)}
            codes = [self.items_encoder.code(item) or new_codes.get(item) for item in history]
            encoded.append(np.array([code for code in codes if code is not None], dtype=np.int64))
            unknown.append(codes.count(None))
            new_items.append(new)
        texts = [[describe_item(self.columns_of_items, fields) for _, fields in new] for new in new_items]
        return {
            "history": encoded,
            "count": np.array(list(rows.columns["count"]), dtype=np.int64),
            "unknown": np.array(unknown, dtype=np.int64),
            "new_items": new_items,
            "new_tokens": [list(self.text_encoder.encode(of_row)) for of_row in texts],
            "ids": histories,
            "portrait": np.array(list(rows.columns["portrait"]), dtype=bool),
        }

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Return the arrays of `NextItemTask`; those of requests know new items.

        `text` int64 [M, L] and `text_mask` are the texts of all new items, `text_row` int64 [M] their rows, and
        `history_new` int64 [B, T] the number of the new item at a position of its row, else -1.
        """
        if "count" not in columns:
            return super().collate(columns)
        columns = dict(columns)
        objects = {name: _to_objects(columns.pop(name)) for name in ("new_items", "ids")}
        tokens = columns.pop("new_tokens")
        arrays = super().collate(columns)
        history = arrays["history"]
        is_new = history >= self._vocabulary
        arrays[NEW_POSITIONS] = np.where(is_new, history - self._vocabulary, -1)
        arrays["history"] = np.where(is_new, PADDING, history)
        arrays |= objects
        counts = [len(of_row) for of_row in tokens]
        if any(counts):
            collated = self.text_encoder.collate([item for of_row in tokens for item in of_row])
            arrays |= {TEXT: collated["signal"], f"{TEXT}_mask": collated["mask"]}
            arrays[TEXT_ROWS] = np.repeat(np.arange(len(counts)), counts)
        return arrays

    def predict(self, run: Run, batch: Arrays) -> Arrays:
        """Predict the next item, known or new; a target in the history is hidden."""
        batch, vectors = self._add_vectors(run, batch)
        outputs = super().predict(run, batch)
        if not any(map(len, vectors)):
            return outputs
        width = max(map(len, vectors))
        new_logits = np.full((len(vectors), width), -np.inf, dtype=np.float32)
        for row, own in enumerate(vectors):
            new_logits[row, : len(own)] = own @ outputs["state"][row]
        return {**outputs, "logits": np.concatenate([outputs["logits"], new_logits], axis=1)}

    def embed(self, run: Run, batch: Arrays) -> Arrays:
        """Return the embedding of the user, who may have had new items."""
        return super().embed(run, self._add_vectors(run, batch)[0])

    def _add_vectors(self, run: Run, batch: Arrays) -> tuple[Arrays, list[np.ndarray]]:
        """Return the batch with the vectors of new items, and these vectors by row."""
        history = batch["history"]
        added = np.zeros((*history.shape, int(self.state["width"])), dtype=np.float32)
        vectors = [np.empty((0, added.shape[2]), dtype=np.float32)] * len(history)
        if TEXT in batch:
            read = _read_texts(run, batch)
            vectors = [read[batch[TEXT_ROWS] == row] for row in range(len(history))]
            for row, position in np.argwhere(batch[NEW_POSITIONS] >= 0).tolist():
                added[row, position] = vectors[row][batch[NEW_POSITIONS][row, position]]
        return {**batch, VECTORS: added}, vectors

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode recommended items, and draw the portraits that are requested."""
        outputs = super().decode(arrays)
        for row, output in enumerate(outputs):
            output["portrait"] = self._draw(arrays, row) if arrays["portrait"][row] else None
        return outputs

    def recommend(self, arrays: Arrays, row: int, code: int, *, score: float) -> Recommended:
        """Return a known item, or a new one of this row, with its title."""
        if code < self._vocabulary:
            return super().recommend(arrays, row, code, score=score)
        item, fields = arrays["new_items"][row][code - self._vocabulary]
        return Recommended(item=item, title=self.titles.title_of(item, fields), score=score)

    def _draw(self, arrays: Arrays, row: int) -> dict[str, Any]:
        new = {item: ItemTraits.of(self.columns_of_items, fields) for item, fields in arrays["new_items"][row]}
        traits = (self.traits.traits_of(item) or new.get(item) for item in arrays["ids"][row])
        return self.traits.draw(filter(None, traits)).to_json()

    def collect(self, outputs: Arrays, batch: Arrays, predict: Callable[[], Arrays]) -> Arrays:
        """Return the ranks of `NextItemTask`, and one among unseen items, int64 [B]."""
        ranks = super().collect(outputs, batch, predict)
        logits = self.mask_logits({**batch, **predict()})
        unseen = np.flatnonzero(self._is_unseen)
        targets = batch["target"].tolist()
        new_ranks = [
            rank_of(scores[sample_new_items(unseen, code)], scores[code]) if self._is_unseen[code] else NOT_RANKED
            for scores, code in zip(logits, targets, strict=True)
        ]
        return {**ranks, "new_rank": np.array(new_ranks)}

    @cached_property
    def _is_unseen(self) -> np.ndarray:
        """Mask of the known items that no training history has, bool [V]."""
        is_unseen = np.zeros(self._vocabulary, dtype=bool)
        codes = (self.items_encoder.code(item) for item in self.state["unseen"])
        is_unseen[[code for code in codes if code is not None]] = True
        return is_unseen

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Evaluate all rows, and apart those with seen (`warm`) and unseen targets (`cold`)."""
        evaluation = super().evaluate(outputs, columns, train=train)
        targets = np.asarray(columns["target"])
        is_cold = self._is_unseen[targets]
        popularity = self._trait_popularity(train) if train is not None else None
        for name, mask in (("warm", ~is_cold & (targets != PADDING)), ("cold", is_cold)):
            evaluation.extra[name] = self._describe_part(outputs, columns, mask, popularity, is_cold=name == "cold")
        evaluation.extra["items_with_own_vector"] = self.state["items_with_own_vector"]
        return evaluation

    def _describe_part(
        self,
        outputs: dict[str, Column],
        columns: dict[str, Column],
        mask: np.ndarray,
        popularity: np.ndarray | None,
        *,
        is_cold: bool,
    ) -> dict[str, Any]:
        rows = np.flatnonzero(mask)
        if not len(rows):
            return {"rows": 0}
        ranks = {name: np.asarray(outputs[name])[rows] for name in ("rank", "sampled_rank", "new_rank")}
        metrics = rank_metrics(ranks["rank"], ranks["sampled_rank"])
        part: dict[str, Any] = {"rows": len(rows), "metrics": metrics}
        if is_cold:
            metrics[HIT_RATE_AMONG_NEW] = ranking.hit_rate(ranks["new_rank"], DEPTH)
            part["items"] = int(self._is_unseen.sum())
            if popularity is not None:
                part["baseline"] = self._trait_baseline(popularity, columns, rows)
        part["intervals"] = {
            name: wilson_interval(value, len(rows)) for name, value in metrics.items() if name.startswith("hit_rate")
        }
        return part

    def _trait_popularity(self, train: dict[str, Column]) -> np.ndarray:
        """Return by item the mean popularity of its categories, float64 [V].

        An item without categories has those of its words. The popularity of a category is the mean number of times that
        training histories have an item with it.
        """
        counts = np.bincount(np.concatenate([*train["history"], train["target"]]), minlength=self._vocabulary)
        traits = {}
        for code, item in enumerate(self.items_encoder.items, start=FIRST_ITEM):
            own = self.traits.traits_of(item) or ItemTraits()
            categories = [(column, name) for column, names in own.categories.items() for name in names]
            traits[code] = categories or [("", word) for word in own.words]
        totals: Counter[tuple[str, str]] = Counter()
        items: Counter[tuple[str, str]] = Counter()
        for code, names in traits.items():
            if not self._is_unseen[code]:
                items.update(names)
                totals.update(dict.fromkeys(names, int(counts[code])))
        popularity = np.zeros(self._vocabulary)
        for code, names in traits.items():
            popularity[code] = np.mean([totals[name] / max(1, items[name]) for name in names]) if names else 0.0
        return popularity

    def _trait_baseline(self, popularity: np.ndarray, columns: dict[str, Column], rows: np.ndarray) -> dict[str, float]:
        """Return the hit rates of recommending the items with the most popular categories."""
        targets, unseen = np.asarray(columns["target"])[rows].tolist(), np.flatnonzero(self._is_unseen)
        sampled, new = [], []
        for row, code in zip(rows.tolist(), targets, strict=True):
            others = sample_items(columns["history"][row], code, self._vocabulary)
            sampled.append(rank_of(popularity[others], popularity[code]))
            new.append(rank_of(popularity[sample_new_items(unseen, code)], popularity[code]))
        return {
            "hit_rate_at_10_of_100": ranking.hit_rate(np.array(sampled), DEPTH),
            HIT_RATE_AMONG_NEW: ranking.hit_rate(np.array(new), DEPTH),
        }

    @classmethod
    def example(cls) -> tuple[ContentRecommendationInput, ContentRecommendationOutput]:
        """Two known films and a new one."""
        new = NewItem.model_validate({"item": "x1", "title": "Harbor Lights", "genres": "Drama|Crime"})
        request = ContentRecommendationInput(history=["1", "260"], items=[new], count=2)
        items = [Recommended(item="1196", title="Star Wars: Episode V (1980)", score=0.041)]
        items.append(Recommended(item="x1", title="Harbor Lights", score=0.027))
        return request, ContentRecommendationOutput(items=items, profile=[0.31, -1.2, 0.07], unknown=0)


def sample_new_items(unseen: np.ndarray, target: int) -> np.ndarray:
    """Draw up to 100 unseen items uniformly, without the target; always the same."""
    candidates = unseen[unseen != target]
    generator = np.random.default_rng([SEED, target])
    return generator.choice(candidates, size=min(SAMPLED_ITEMS, len(candidates)), replace=False)


def _read_texts(run: Run, batch: Arrays) -> np.ndarray:
    """Return the vectors of the new items of a batch, [M, D].

    Calls of bounded size, since a request may have many items.
    """
    size = max(1, MAX_TEXT_STEPS // max(1, batch[TEXT].shape[1]))
    starts = range(0, len(batch[TEXT]), size)
    calls = ({name: batch[name][start : start + size] for name in (TEXT, f"{TEXT}_mask")} for start in starts)
    return np.concatenate([run(TEXT, call)["item_vector"] for call in calls])


def _to_objects(rows: Column) -> np.ndarray:
    """Return lists of any lengths as an array of objects, one a row."""
    array = np.empty(len(rows), dtype=object)
    array[:] = [tuple(row) for row in rows]
    return array
