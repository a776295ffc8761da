"""Which text belongs to which picture.

B batch, K candidates of a row, T tokens, D width of the common space, N rows, M rows learned from.
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
from ml.tasks.base import Answer, Task
from ml.wire import Base64, ImageInput, Wire
from ml.wire.image import Pixels
from ml.wire.text import NonBlankText

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column

DEPTHS: Final = (1, 5, 10)
MOST_CANDIDATES: Final = 1000
AT_ONCE: Final = 512
"""Rows ranked, or candidates read, at a time: all against all would not fit for a large split."""
TOKENS_AT_ONCE: Final = 32_768
"""Of the candidates that are read at a time, padding included."""


class ImageTextMatchingConfig(Config):
    """How training is held back, and how its pictures are varied."""

    width: int = Field(128, ge=1, le=65_536)
    """Of the space that both are brought into."""
    temperature: float = Field(0.07, gt=0, le=10)
    """How sharply pairs are told apart at the start; it is learned."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of the features that a projection goes without in each training step."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    augmentation: Literal["off", "light"] = "light"
    """Light: turned, scaled and shifted a little; never mirrored."""


class ImageTextMatchingInput(Wire):
    """A picture, a text, or both; and texts to choose from. A bare body is a picture, or else a text."""

    body = "image"

    image: Base64 | None = Field(None, description="A picture file as base64: PNG, JPEG, GIF, BMP, WebP or TIFF")
    pixels: Pixels | None = Field(None, description="In place of image: [height][width] of 0 to 255, or with [3]")
    text: NonBlankText | None = None
    candidates: list[NonBlankText] | None = Field(
        None, min_length=1, max_length=MOST_CANDIDATES, description="Texts to compare with; where absent, the text"
    )

    @classmethod
    def of(cls, given: Any, *, parameters: Mapping[str, Any]) -> Self:
        """Bytes that are no picture are a text."""
        if isinstance(given, bytes) and not images.looks_like_image(given):
            given = {"text": given}
        return super().of(given, parameters=parameters)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.image is not None and self.pixels is not None:
            raise ValueError("give either image or pixels")
        if not self.has_image and self.text is None:
            raise ValueError("give an image, a text or both")
        return self

    @property
    def has_image(self) -> bool:
        """In either form."""
        return self.image is not None or self.pixels is not None


class Candidate(Wire):
    """How well one text fits. `similarity` is a cosine, -1 to 1; `probability` says which of the candidates it is."""

    text: str
    similarity: float
    probability: float


class ImageTextMatchingOutput(Wire):
    """Where the picture, or where there is none the text, lies in the common space; the best candidate first."""

    embedding: list[float]
    scores: list[Candidate] | None = None


class ImageTextMatching(Task):
    """Pictures and texts in one space: search one by the other, or name classes by words alone."""

    name = "image_text_matching"
    summary = "Find the text that belongs to a picture and the picture that belongs to a text, or classify by captions"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.POOLED}), default_architecture="cnn"),
        "text": Slot(
            reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.POOLED}), default_architecture="transformer"
        ),
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "text": "text"}
    reads: ClassVar[Mapping[str, str]] = {"image": "image", "text": "text"}
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
                f"Share of pictures whose own text is among the {depth} nearest of all texts of the split", True
            )
            for depth in DEPTHS
        },
        **{
            f"image_recall_at_{depth}": Metric(
                f"Share of texts whose own picture is among the {depth} nearest of all pictures of the split", True
            )
            for depth in DEPTHS
        },
    }

    @classmethod
    def learn(cls, config: ImageTextMatchingConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Nothing: what belongs together is in the weights."""
        return {}

    def head_config(self) -> dict[str, Any]:
        """The space, and what holds training back."""
        found: dict[str, Any] = self.config.model_dump(exclude={"augmentation"})
        return found

    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        """What is missing of picture and text stands as None."""
        asked = ImageTextMatchingInput.of(given, parameters=parameters)
        image = ImageInput(image=asked.image, pixels=asked.pixels).raw() if asked.has_image else None
        candidates = asked.candidates or ([asked.text] if asked.has_image and asked.text is not None else [])
        return {"image": image, "text": asked.text, "candidates": candidates}

    @classmethod
    def show(cls, row: Row) -> tuple[ImageTextMatchingInput, None]:
        """Both; that they belong together is all there is to learn."""
        return ImageTextMatchingInput(image=images.encode_png(row["image"]), text=row["text"]), None

    def encode(self, rows: Rows) -> dict[str, Column]:
        """`image` and `text` as the encoders give them; of asked rows also what they have, and their candidates."""
        if "candidates" not in rows.columns:
            return super().encode(rows)
        pictures, texts = list(rows.columns["image"]), list(rows.columns["text"])
        blank = np.zeros((1, 1, 1), dtype=np.uint8)
        encode_text = self.slot_encoders["text"].encode
        named = list(dict.fromkeys(text for each in rows.columns["candidates"] for text in each))
        codes = dict(zip(named, encode_text(named), strict=True)) if named else {}
        return {
            "image": self.slot_encoders["image"].encode([blank if each is None else each for each in pictures]),
            "has_image": np.array([each is not None for each in pictures]),
            "text": encode_text(["" if each is None else each for each in texts]),
            "candidates": [[codes[text] for text in each] for each in rows.columns["candidates"]],
            "candidate_texts": list(rows.columns["candidates"]),
        }

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Distort the pictures where the config asks for it."""
        if self.config.augmentation == "off":
            return columns
        return {**columns, "image": random_affine(np.asarray(columns["image"]), generator)}

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Signals and masks; candidates as `candidates` int64 [B, K, T] and `candidates_mask`, none where all false."""
        own = {name: each for name, each in columns.items() if name not in ("candidates", "candidate_texts")}
        arrays = super().collate(own)
        if "candidates" in columns:
            arrays |= self._candidates(columns)
        return arrays

    def _candidates(self, columns: dict[str, Column]) -> Arrays:
        given: Any = columns["candidates"]
        most = max(map(len, given))
        flat = [each for row in given for each in row]
        read = self.slot_encoders["text"].collate(flat) if flat else {"signal": np.zeros((0, 1), dtype=np.int64)}
        signal = read["signal"]
        place = np.array([(row, at) for row, each in enumerate(given) for at in range(len(each))], dtype=np.int64)
        rows, at = place.reshape(-1, 2).T
        codes = np.zeros((len(given), most, signal.shape[1]), dtype=signal.dtype)
        mask = np.zeros(codes.shape, dtype=bool)
        texts = np.full(codes.shape[:2], "", dtype=object)
        codes[rows, at] = signal
        mask[rows, at] = read.get("mask", True)
        texts[rows, at] = [text for row in columns["candidate_texts"] for text in row]
        return {"candidates": codes, "candidates_mask": mask, "candidate_texts": texts}

    def answer(self, run: Run, batch: Arrays) -> Arrays:
        """`embedding` [B, D] of what was sent, and the `similarity` [B, K] of its candidates.

        Of rows that are judged, both embeddings.
        """
        if "candidates" not in batch:
            return {**run("image", batch), **run("text", batch)}
        text = run("text", {name: batch[name] for name in ("text", "text_mask") if name in batch})
        picture = run("image", {"image": batch["image"]}) if batch["has_image"].any() else None
        own = text["text_embedding"]
        if picture is not None:
            own = np.where(batch["has_image"][:, None], picture["image_embedding"], own)
        similarity = np.full(batch["candidates"].shape[:2], -np.inf, dtype=np.float32)
        real = np.asarray(batch["candidates_mask"].any(axis=2))
        rows, _ = np.nonzero(real)
        if len(rows):
            similarity[real] = (self._embedded(run, batch, real) * own[rows]).sum(axis=1)
        return {"embedding": own, "similarity": similarity, "scale": text["scale"]}

    def _embedded(self, run: Run, batch: Arrays, real: np.ndarray) -> np.ndarray:
        """float32 [n, D] of the n real candidates: each different text is read once, and not too many at a time."""
        number: dict[str, int] = {}
        places = [number.setdefault(text, len(number)) for text in batch["candidate_texts"][real]]
        _, first = np.unique(places, return_index=True)
        codes, mask = batch["candidates"][real][first], batch["candidates_mask"][real][first]
        most = max(1, min(AT_ONCE, TOKENS_AT_ONCE // codes.shape[1]))
        parts = [
            run("text", {"text": codes[start : start + most], "text_mask": mask[start : start + most]})
            for start in range(0, len(first), most)
        ]
        return np.concatenate([each["text_embedding"] for each in parts])[places]

    def embed(self, run: Run, batch: Arrays) -> Arrays:
        """In the common space, where pictures and texts can be compared."""
        return self.answer(run, batch)

    def decode(self, arrays: Arrays) -> list[Answer]:
        """From `embedding` float [B, D], `similarity` float [B, K] and `scale` float [B]."""
        answers: list[Answer] = []
        for row, similarity in enumerate(arrays["similarity"].astype(np.float64)):
            order = np.argsort(-similarity, kind="stable")[: int(np.isfinite(similarity).sum())]
            shares = np.exp(arrays["scale"][row] * (similarity[order] - similarity.max(initial=-1)))
            shares /= shares.sum() if len(order) else 1
            scores = [
                Candidate(text=arrays["candidate_texts"][row, at], similarity=similarity[at], probability=share)
                for at, share in zip(order.tolist(), shares.tolist(), strict=True)
            ]
            found = ImageTextMatchingOutput(embedding=arrays["embedding"][row].tolist(), scores=scores or None)
            answers.append(found.to_json())
        return answers

    def collect(self, outputs: Arrays, batch: Arrays, answer: Any) -> Arrays:
        """Where each lies."""
        return {name: outputs[name] for name in ("image_embedding", "text_embedding")}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Both ways among all of the split; beside it, what guessing finds.

        Several texts of one picture are all right, and so are several pictures of one text.
        """
        picture_of, text_of = _same(columns["image"]), _same(columns["text"])
        pictures, texts = (np.asarray(outputs[f"{slot}_embedding"]) for slot in ("image", "text"))
        metrics, baseline = {}, {}
        intervals = {}
        for sought, ranks, chances in (
            ("text", *_search(pictures, texts, picture_of, text_of)),
            ("image", *_search(texts, pictures, text_of, picture_of)),
        ):
            for depth in DEPTHS:
                name = f"{sought}_recall_at_{depth}"
                metrics[name] = ranking.hit_rate(ranks, depth)
                baseline[name] = float(chances[depth].mean())
                intervals[name] = wilson_interval(metrics[name], len(ranks))
        return Evaluation(metrics, baseline, intervals=intervals)

    @classmethod
    def example(cls) -> tuple[ImageTextMatchingInput, ImageTextMatchingOutput]:
        """A drawn 7, and what it might be."""
        scores = [
            Candidate(text="a seven", similarity=0.61, probability=0.93),
            Candidate(text="a cat", similarity=0.43, probability=0.07),
        ]
        given = ImageTextMatchingInput(image=ImageInput.make_example().image, candidates=["a cat", "a seven"])
        return given, ImageTextMatchingOutput(embedding=[0.6, -0.8], scores=scores)


def _same(column: Column) -> np.ndarray:
    """int64 [N]: equal rows have the same number."""
    hashes = [blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16).digest() for row in column]
    return np.unique(np.array(hashes), return_inverse=True)[1]


def _search(
    asked: np.ndarray, found: np.ndarray, queries: np.ndarray, candidates: np.ndarray
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The rank of the best right candidate for each different query, and by depth what chance would find.

    `queries` and `candidates` int64 [N] tell which rows are the same; what stands in one row belongs together.
    """
    _, first_query = np.unique(queries, return_index=True)
    _, first_candidate = np.unique(candidates, return_index=True)
    count = len(first_candidate)
    pairs = np.unique(np.stack([queries, candidates]), axis=1)
    ranks = np.empty(len(first_query), dtype=np.int64)
    for start in range(0, len(first_query), AT_ONCE):
        rows = first_query[start : start + AT_ONCE]
        likeness = asked[rows] @ found[first_candidate].T
        mine = (pairs[0] >= start) & (pairs[0] < start + len(rows))
        right = np.zeros(likeness.shape, dtype=bool)
        right[pairs[0][mine] - start, pairs[1][mine]] = True
        best = np.where(right, likeness, -np.inf).max(axis=1, keepdims=True)
        ahead = ((likeness > best) & ~right).sum(axis=1)
        equal = ((likeness == best) & ~right).sum(axis=1)
        ranks[start : start + len(rows)] = ahead + equal // 2
    rights = np.bincount(pairs[0], minlength=len(first_query))
    chances = {}
    for depth in DEPTHS:
        # All of the `depth` are wrong, one after the other drawn without putting back.
        wrong = [np.clip((count - rights - drawn) / max(1, count - drawn), 0, 1) for drawn in range(min(depth, count))]
        chances[depth] = 1 - np.prod(wrong, axis=0)
    return ranks, chances
