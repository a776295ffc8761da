"""Image-text matching: contrastive embeddings of images and texts in one space.

B batch, K candidates of a row, T tokens, D dimensions of the common space, N rows.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ml.config import Config
from ml.data.files import images
from ml.metrics import ranking
from ml.metrics.base import Evaluation, Metric, wilson_interval
from ml.preprocessing.augmentation import random_affine
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Run, Signal, Slot
from ml.tasks.base import Output, Task
from ml.wire import Base64, ImageInput, TextOutput, Wire
from ml.wire.image import Pixels
from ml.wire.text import NonBlankText

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column

DEPTHS: Final = (1, 5, 10)
MAX_CANDIDATES: Final = 1000
#: Limits of rows ranked, or candidates read, at a time: all pairs of a large split would not fit in memory.
MAX_ROWS_PER_CALL: Final = 512
#: Limit of the tokens of candidates read at a time, including padding.
MAX_TOKENS_PER_CALL: Final = 32_768


class ImageTextMatchingConfig(Config):
    """Embedding size, temperature, regularization and augmentation."""

    width: int = Field(128, ge=1, le=65_536, description="Dimensions of the common space of images and texts.")
    temperature: float = Field(
        0.07, gt=0, le=10, description="Initial temperature of the contrastive loss; it is learned."
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Fraction of the target probability that is spread over all pairs of the batch."
    )
    augmentation: Literal["off", "light"] = Field(
        "light", description="`light`: rotate, scale and shift training images a little; never mirror them."
    )


class ImageTextMatchingInput(Wire):
    """An image, a text, or both, and candidate texts.

    A raw body is an image, or else a text.
    """

    body = "image"

    image: Base64 | None = Field(None, description="Image file as base64: PNG, JPEG, GIF, BMP, WebP or TIFF")
    pixels: Pixels | None = Field(
        None, description="In place of image: [height][width] of 0 to 255, or [height][width][3] for color"
    )
    text: NonBlankText | None = Field(None, description="Text to embed; with an image, also the only candidate")
    candidates: list[NonBlankText] | None = Field(
        None, min_length=1, max_length=MAX_CANDIDATES, description="Texts to rank by similarity"
    )

    @classmethod
    def of(cls, value: Any, *, parameters: Mapping[str, Any]) -> Self:
        """Parse an input; bytes that are not an image are a text. Raises `InputError`."""
        if isinstance(value, bytes) and not images.looks_like_image(value):
            value = {"text": value}
        return super().of(value, parameters=parameters)

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.image is not None and self.pixels is not None:
            raise ValueError("give either image or pixels")
        if not self.has_image and self.text is None:
            raise ValueError("give an image, a text or both")
        return self

    @property
    def has_image(self) -> bool:
        """True if there is an image, as a file or as pixels."""
        return self.image is not None or self.pixels is not None


class Candidate(TextOutput):
    """One candidate text with its scores."""

    text: str
    similarity: float = Field(description="Cosine similarity of the embeddings, -1 to 1")
    probability: float = Field(description="Softmax of the similarities of all candidates")


class ImageTextMatchingOutput(TextOutput):
    """The embedding of the image, or else of the text, and the ranked candidates."""

    embedding: list[float] = Field(description="Unit vector in the common space of images and texts")
    scores: list[Candidate] | None = Field(None, description="Candidates by decreasing similarity; null without any")


class ImageTextMatching(Task):
    """Embeds images and texts in one space, for search and for zero-shot classification."""

    name = "image_text_matching"
    summary = "Search images by text and texts by image, or classify images by captions (zero-shot)"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.POOLED}), default_architecture="cnn"),
        "text": Slot(
            reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.POOLED}), default_architecture="transformer"
        ),
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "text": "text"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"image": "image", "text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image", "text": "text"}
    head = "projections"
    config_type = ImageTextMatchingConfig
    input_type = ImageTextMatchingInput
    output_type = ImageTextMatchingOutput
    recipe = Schedule(
        epochs=30, batch_size=128, optimizer="adamw", learning_rate=3e-3, weight_decay=0.05, decay="one_cycle"
    )
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {"image": ("image",), "text": ("text", "text_mask")}
    metrics: ClassVar[Mapping[str, Metric]] = {
        **{
            f"text_recall_at_{depth}": Metric(
                f"Fraction of images whose own text is among the {depth} nearest of all texts of the split", True
            )
            for depth in DEPTHS
        },
        **{
            f"image_recall_at_{depth}": Metric(
                f"Fraction of texts whose own image is among the {depth} nearest of all images of the split", True
            )
            for depth in DEPTHS
        },
    }

    @classmethod
    def learn(cls, config: ImageTextMatchingConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return nothing: all that is learned is in the weights."""
        return {}

    def head_config(self) -> dict[str, Any]:
        """Return the config without augmentation."""
        options: dict[str, Any] = self.config.model_dump(exclude={"augmentation"})
        return options

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Return image, text and candidates; an absent image or text is None."""
        request = ImageTextMatchingInput.of(raw_input, parameters=parameters)
        image = ImageInput(image=request.image, pixels=request.pixels).raw() if request.has_image else None
        candidates = request.candidates or ([request.text] if request.has_image and request.text is not None else [])
        return {"image": image, "text": request.text, "candidates": candidates, "whole_lengths": {}}

    def needs_split(self, row: Row) -> bool:
        """Return whether the text or a candidate is very long."""
        return any(map(self.slot_encoders["text"].is_very_long, [row["text"] or "", *row["candidates"]]))

    def split(self, row: Row) -> list[Row]:
        """Return the row, with very long texts tokenized or counted."""
        encoder: Any = self.slot_encoders["text"]
        very_long = [text for text in row["candidates"] if encoder.is_very_long(text)]
        lengths = {text: encoder.count(text) for text in very_long}
        text = None if row["text"] is None else encoder.split(row["text"], has_windows=False)[0]
        return [{**row, "text": text, "whole_lengths": lengths}]

    def truncation(self, rows: Rows, columns: Mapping[str, Column]) -> dict[int, Output]:
        """Return how much was read of texts that were embedded; candidates have their own."""
        pairs = enumerate(zip(rows.columns["image"], rows.columns["text"], columns["text"], strict=True))
        truncate = self.slot_encoders["text"].truncation
        fields = {row: truncate(text, codes) for row, (image, text, codes) in pairs if image is None}
        return {row: own_fields for row, own_fields in fields.items() if own_fields}

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[ImageTextMatchingInput, None]:
        """Return image and text as the input; there is no target besides that they match."""
        return ImageTextMatchingInput(image=images.encode_png(row["image"]), text=row["text"]), None

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return encoded `image` and `text`; for requests also `has_image` and the candidates.

        An absent image or text is encoded as a blank one.
        """
        if "candidates" not in rows.columns:
            return super().encode(rows)
        pixels, texts = list(rows.columns["image"]), list(rows.columns["text"])
        blank = np.zeros((1, 1, 1), dtype=np.uint8)
        encode_text = self.slot_encoders["text"].encode
        unique_texts = list(dict.fromkeys(text for row in rows.columns["candidates"] for text in row))
        codes = dict(zip(unique_texts, encode_text(unique_texts), strict=True)) if unique_texts else {}
        return {
            "image": self.slot_encoders["image"].encode([blank if image is None else image for image in pixels]),
            "has_image": np.array([image is not None for image in pixels]),
            "text": encode_text(["" if text is None else text for text in texts]),
            "candidates": [[codes[text] for text in row] for row in rows.columns["candidates"]],
            "candidate_texts": list(rows.columns["candidates"]),
            "candidate_truncation": self._candidate_truncation(rows, codes),
        }

    def _candidate_truncation(self, rows: Rows, codes: Mapping[str, np.ndarray]) -> list[list[dict[str, int] | None]]:
        encoder: Any = self.slot_encoders["text"]
        lengths = {text: length for row in rows.columns["whole_lengths"] for text, length in row.items()}
        truncation = {
            text: encoder.truncation(text, text_codes, length=lengths.get(text)).get("truncated")
            for text, text_codes in codes.items()
        }
        return [[truncation[text] for text in texts] for texts in rows.columns["candidates"]]

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Transform the images if augmentation is on."""
        if self.config.augmentation == "off":
            return columns
        return {**columns, "image": random_affine(np.asarray(columns["image"]), generator)}

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Return signals and masks; for requests also `candidates` int64 [B, K, T] and `candidates_mask`.

        The mask of a candidate that pads a row is all false.
        """
        signals = {name: column for name, column in columns.items() if not name.startswith("candidate")}
        arrays = super().collate(signals)
        if "candidates" in columns:
            arrays |= self._collate_candidates(columns)
        return arrays

    def _collate_candidates(self, columns: dict[str, Column]) -> Arrays:
        candidates: Any = columns["candidates"]
        codes = [text_codes for row in candidates for text_codes in row]
        text = self.slot_encoders["text"].collate(codes) if codes else {"signal": np.zeros((0, 1), dtype=np.int64)}
        positions = np.array([(row, k) for row, texts in enumerate(candidates) for k in range(len(texts))], np.int64)
        rows, k = positions.reshape(-1, 2).T
        shape = len(candidates), max(map(len, candidates)), text["signal"].shape[1]
        signal, mask = np.zeros(shape, dtype=text["signal"].dtype), np.zeros(shape, dtype=bool)
        raw_texts = np.full(shape[:2], "", dtype=object)
        signal[rows, k] = text["signal"]
        mask[rows, k] = text.get("mask", True)
        truncation = np.full(shape[:2], None, dtype=object)
        for row, column, raw_text, truncated in zip(rows, k, *_flatten(columns), strict=True):
            raw_texts[row, column], truncation[row, column] = raw_text, truncated
        return {
            "candidates": signal,
            "candidates_mask": mask,
            "candidate_texts": raw_texts,
            "candidate_truncation": truncation,
        }

    def predict(self, run: Run, batch: Arrays) -> Arrays:
        """Return `embedding` [B, D] and `similarity` [B, K] of its candidates.

        The embedding is that of the image, or else of the text. For rows without candidates, as in evaluation, return
        the embeddings of both image and text.
        """
        if "candidates" not in batch:
            return {**run("image", batch), **run("text", batch)}
        text = run("text", {name: batch[name] for name in ("text", "text_mask") if name in batch})
        embedding = text["text_embedding"]
        if batch["has_image"].any():
            image = run("image", {"image": batch["image"]})
            embedding = np.where(batch["has_image"][:, None], image["image_embedding"], embedding)
        similarity = np.full(batch["candidates"].shape[:2], -np.inf, dtype=np.float32)
        is_candidate = np.asarray(batch["candidates_mask"].any(axis=2))
        rows, _ = np.nonzero(is_candidate)
        if len(rows):
            similarity[is_candidate] = (self._embed_candidates(run, batch, is_candidate) * embedding[rows]).sum(axis=1)
        return {"embedding": embedding, "similarity": similarity, "scale": text["scale"]}

    def _embed_candidates(self, run: Run, batch: Arrays, is_candidate: np.ndarray) -> np.ndarray:
        """Return float32 [n, D] for the n true entries of `is_candidate` [B, K].

        Each distinct text is read once, and the number read at a time is limited.
        """
        index_of: dict[str, int] = {}
        indices = [index_of.setdefault(text, len(index_of)) for text in batch["candidate_texts"][is_candidate]]
        _, first = np.unique(indices, return_index=True)
        codes, mask = batch["candidates"][is_candidate][first], batch["candidates_mask"][is_candidate][first]
        count = max(1, min(MAX_ROWS_PER_CALL, MAX_TOKENS_PER_CALL // codes.shape[1]))
        calls = [
            run("text", {"text": codes[start : start + count], "text_mask": mask[start : start + count]})
            for start in range(0, len(first), count)
        ]
        return np.concatenate([arrays["text_embedding"] for arrays in calls])[indices]

    def embed(self, run: Run, batch: Arrays) -> Arrays:
        """Embed in the common space, in which images and texts can be compared."""
        return self.predict(run, batch)

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `embedding` float [B, D], `similarity` float [B, K] and `scale` float [B]."""
        outputs: list[Output] = []
        for row, similarity in enumerate(arrays["similarity"].astype(np.float64)):
            order = np.argsort(-similarity, kind="stable")[: int(np.isfinite(similarity).sum())]
            probabilities = np.exp(arrays["scale"][row] * (similarity[order] - similarity.max(initial=-1)))
            probabilities /= probabilities.sum() if len(order) else 1
            scores = [
                Candidate(
                    text=arrays["candidate_texts"][row, k],
                    similarity=similarity[k],
                    probability=probability,
                    truncated=arrays["candidate_truncation"][row, k],
                )
                for k, probability in zip(order.tolist(), probabilities.tolist(), strict=True)
            ]
            output = ImageTextMatchingOutput(embedding=arrays["embedding"][row].tolist(), scores=scores or None)
            outputs.append(output.to_json())
        return outputs

    def collect(self, outputs: Arrays, batch: Arrays, predict: Any) -> Arrays:
        """Return the embeddings of images and texts."""
        return {name: outputs[name] for name in ("image_embedding", "text_embedding")}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute recall of texts by image and of images by text.

        Candidates are all of the split. All texts of one image are correct, and so are all images of one text. The
        baseline is a random order.
        """
        image_ids, text_ids = _unique_ids(columns["image"]), _unique_ids(columns["text"])
        image_embeddings, text_embeddings = (np.asarray(outputs[f"{slot}_embedding"]) for slot in ("image", "text"))
        metrics, baseline, intervals = {}, {}, {}
        candidates = {"text": len(np.unique(text_ids)), "image": len(np.unique(image_ids))}
        notes = [
            f"{target}_recall_at_{DEPTHS[-1]} is 1 whatever the model does: the split has {count} different {target}s"
            for target, count in candidates.items()
            if count <= DEPTHS[-1]
        ]
        for target, ranks, random_hit_rates in (
            ("text", *_search(image_embeddings, text_embeddings, image_ids, text_ids)),
            ("image", *_search(text_embeddings, image_embeddings, text_ids, image_ids)),
        ):
            for depth in DEPTHS:
                name = f"{target}_recall_at_{depth}"
                metrics[name] = ranking.hit_rate(ranks, depth)
                baseline[name] = float(random_hit_rates[depth].mean())
                intervals[name] = wilson_interval(metrics[name], len(ranks))
        return Evaluation(metrics, baseline, intervals=intervals, notes=notes)

    @classmethod
    def example(cls) -> tuple[ImageTextMatchingInput, ImageTextMatchingOutput]:
        """A drawn 7, and two candidates."""
        scores = [
            Candidate(text="a seven", similarity=0.61, probability=0.93),
            Candidate(text="a cat", similarity=0.43, probability=0.07),
        ]
        example_input = ImageTextMatchingInput(image=ImageInput.make_example().image, candidates=["a cat", "a seven"])
        return example_input, ImageTextMatchingOutput(embedding=[0.6, -0.8], scores=scores)


def _flatten(columns: Mapping[str, Column]) -> list[list[Any]]:
    """Return the texts and the truncation of all candidates of all rows."""
    return [[value for row in columns[name] for value in row] for name in ("candidate_texts", "candidate_truncation")]


def _unique_ids(column: Column) -> np.ndarray:
    """Return int64 [N]; equal rows have the same number."""
    hashes = [blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16).digest() for row in column]
    return np.unique(np.array(hashes), return_inverse=True)[1]


def _search(
    query_embeddings: np.ndarray, candidate_embeddings: np.ndarray, query_ids: np.ndarray, candidate_ids: np.ndarray
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Rank the candidates of each distinct query.

    `query_ids` and `candidate_ids` int64 [N] are equal for equal rows; a query and a candidate of one row match.
    Returns the rank of the best match of each distinct query, and by depth the hit rate that a random order expects.
    """
    _, first_query = np.unique(query_ids, return_index=True)
    _, first_candidate = np.unique(candidate_ids, return_index=True)
    pairs = np.unique(np.stack([query_ids, candidate_ids]), axis=1)
    ranks = np.empty(len(first_query), dtype=np.int64)
    for start in range(0, len(first_query), MAX_ROWS_PER_CALL):
        rows = first_query[start : start + MAX_ROWS_PER_CALL]
        similarity = query_embeddings[rows] @ candidate_embeddings[first_candidate].T
        in_chunk = (pairs[0] >= start) & (pairs[0] < start + len(rows))
        is_match = np.zeros(similarity.shape, dtype=bool)
        is_match[pairs[0][in_chunk] - start, pairs[1][in_chunk]] = True
        best = np.where(is_match, similarity, -np.inf).max(axis=1, keepdims=True)
        ahead = ((similarity > best) & ~is_match).sum(axis=1)
        equal = ((similarity == best) & ~is_match).sum(axis=1)
        ranks[start : start + len(rows)] = ahead + equal // 2
    matches = np.bincount(pairs[0], minlength=len(first_query))
    return ranks, {depth: _random_hit_rate(matches, len(first_candidate), depth) for depth in DEPTHS}


def _random_hit_rate(matches: np.ndarray, candidates: int, depth: int) -> np.ndarray:
    """Return the probability that one of `matches` [N] is among `depth` candidates drawn without replacement."""
    misses = [
        np.clip((candidates - matches - drawn) / max(1, candidates - drawn), 0, 1)
        for drawn in range(min(depth, candidates))
    ]
    return np.asarray(1 - np.prod(misses, axis=0))
