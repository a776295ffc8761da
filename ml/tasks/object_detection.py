"""Which objects a picture shows, and where.

N rows, B batch, C channels, K classes, M objects of the row that has most. A box is x1, y1, x2, y2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np
from pydantic import BaseModel, Field

from ml.config import Config
from ml.data.files import images
from ml.data.rows import Rows
from ml.errors import DataError
from ml.metrics import detection
from ml.metrics.non_maximum_suppression import MAX_PEAKS, Detection, select_boxes
from ml.preprocessing.augmentation import Mirror, random_affine_with_boxes
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Signal, Slot
from ml.tasks.base import MODEL, Answer, Task
from ml.wire import ImageInput, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation

NO_OBJECT: Final = -1
"""The label that fills up the rows of a batch that have fewer objects than another."""


class ObjectDetectionConfig(Config):
    """On which grid objects are looked for, when two boxes are one object, and how training pictures are varied."""

    stride: int = Field(4, ge=1, le=64)
    """Pixels between two places where an object's middle can be. Objects nearer to each other become one."""
    overlap: float = Field(0.5, gt=0, le=1)
    """Of two boxes of one class whose intersection over union is larger, the surer stays."""
    augmentation: Literal["off", "light"] = "light"
    """Light: scaled and shifted, boxes with it."""
    mirror: Mirror = "sides"
    """What light augmentation may mirror: nothing where left and right differ, as in text; both under a microscope."""


class ObjectDetectionInput(ImageInput):
    """One picture, and how sure an answer must be."""

    confidence: float = Field(0.3, ge=0, le=1, description="Objects that are less sure are left out")
    max_objects: int = Field(100, ge=1, le=MAX_PEAKS, description="The surest so many")


class DetectedObject(BaseModel):
    """`box` is left, top, right, bottom in pixels of the picture that was sent."""

    label: str
    confidence: float = Field(ge=0, le=1)
    box: list[float] = Field(min_length=4, max_length=4)


class ObjectDetectionOutput(Wire):
    """What was found, surest first."""

    objects: list[DetectedObject]


class ObjectDetection(Task):
    """Any number of objects for one picture, none included."""

    name = "object_detection"
    summary = "Say which objects a picture shows, and where"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.MAPS}), default_architecture="cnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "objects": "objects"}
    reads: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    head = "boxes"
    config_type = ObjectDetectionConfig
    input_type = ObjectDetectionInput
    output_type = ObjectDetectionOutput
    metrics = detection.METRICS
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("image",)}
    recipe = Schedule(
        epochs=20, batch_size=8, optimizer="adamw", learning_rate=0.002, weight_decay=0.01, decay="one_cycle"
    )

    @property
    def labels(self) -> Sequence[str]:
        """The classes in the order of their codes."""
        labels: Sequence[str] = self.state["labels"]
        return labels

    @classmethod
    def learn(cls, config: ObjectDetectionConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """The names of the classes, in natural order."""
        return {"labels": summary.classes}

    @classmethod
    def refuse(cls, summary: DatasetSummary) -> list[str]:
        """Beside what is missing: pictures on none of which there is an object."""
        found = super().refuse(summary)
        if "objects" in summary.columns and not summary.classes:
            found.append(f"{cls.name} needs at least one object; the dataset has none")
        return found

    def head_config(self) -> dict[str, Any]:
        """Number of classes, and the grid."""
        return {"classes": len(self.labels), "stride": self.config.stride}

    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        """The picture, decoded, and what is asked of the answer."""
        asked = self.input_type.of(given, parameters=parameters)
        return {"image": asked.raw(), "confidence": asked.confidence, "max_objects": asked.max_objects}

    @classmethod
    def show(cls, row: Row) -> tuple[ObjectDetectionInput, dict[str, Any]]:
        """A PNG, and the objects."""
        return ObjectDetectionInput(image=images.encode_png(row["image"])), {"objects": row.get("objects", [])}

    def encode(self, rows: Rows) -> dict[str, Column]:
        """`image`: uint8 [N, C, H, W]; `size`: int64 [N, 2], width and height of each picture before.

        Of training rows, for each `true_boxes`: float32 [m, 4], shares of the picture, and `true_labels`: int64 [m].
        """
        measured = _Measured(rows.columns["image"])
        columns = super().encode(Rows({**rows.columns, "image": measured}))
        columns["size"] = measured.sizes()
        for asked in ("confidence", "max_objects"):
            if asked in rows.columns:
                columns[asked] = np.array(rows.columns[asked])
        if "objects" in rows.columns:
            there = list(rows.columns["objects"])
            scale = np.concatenate([columns["size"], columns["size"]], axis=1)
            shares = (_boxes(objects) / size for objects, size in zip(there, scale, strict=True))
            # In shares, an edge may be rounded beyond 1.
            columns["true_boxes"] = [each.clip(0, 1).astype(np.float32) for each in shares]
            columns["true_labels"] = [self._codes(objects) for objects in there]
        return columns

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Move the pictures and their boxes where the config asks for it."""
        if self.config.augmentation == "off":
            return columns
        image, boxes, kept = random_affine_with_boxes(
            np.asarray(columns["image"]), list(columns["true_boxes"]), generator, mirror=self.config.mirror
        )
        labels = [codes[each] for codes, each in zip(columns["true_labels"], kept, strict=True)]
        return {**columns, "image": image, "true_boxes": boxes, "true_labels": labels}

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Pictures in 0..1; objects filled up to `true_boxes` float32 [B, M, 4] and `true_labels` int64 [B, M]."""
        plain = {name: column for name, column in columns.items() if name not in ("true_boxes", "true_labels")}
        arrays = super().collate(plain)
        if "true_boxes" not in columns:
            return arrays
        most = max([1, *(len(codes) for codes in columns["true_labels"])])
        boxes = np.zeros((len(columns["true_boxes"]), most, 4), dtype=np.float32)
        labels = np.full(boxes.shape[:2], NO_OBJECT, dtype=np.int64)
        for row, (there, codes) in enumerate(zip(columns["true_boxes"], columns["true_labels"], strict=True)):
            boxes[row, : len(codes)], labels[row, : len(codes)] = there, codes
        return {**arrays, "true_boxes": boxes, "true_labels": labels}

    def decode(self, arrays: Arrays) -> list[Answer]:
        """From `scores` float [B, K, H, W] and `boxes` float [B, 4, H, W]."""
        answers: list[Answer] = []
        for row, (width, height) in enumerate(arrays["size"].tolist()):
            found = select_boxes(
                arrays["scores"][row],
                arrays["boxes"][row],
                min_score=float(arrays["confidence"][row]),
                max_boxes=int(arrays["max_objects"][row]),
                max_iou=self.config.overlap,
            )
            boxes = found.boxes.clip(0, 1) * [width, height, width, height]
            objects = [
                {"label": self.labels[code], "confidence": confidence, "box": box}
                for box, confidence, code in zip(
                    boxes.round(2).tolist(), found.confidence.tolist(), found.label.tolist(), strict=True
                )
            ]
            answers.append({"objects": objects})
        return answers

    def collect(self, outputs: Arrays, batch: Arrays, answer: Callable[[], Arrays]) -> Arrays:
        """`found`: float64 [B, objects of the row that has most, 6], as `Detection.to_table` gives them."""
        answered = answer()
        tables = [
            select_boxes(
                scores, boxes, min_score=0, max_boxes=detection.MAX_DETECTIONS, max_iou=self.config.overlap
            ).to_table()
            for scores, boxes in zip(answered["scores"], answered["boxes"], strict=True)
        ]
        found = np.zeros((len(tables), max(len(each) for each in tables), 6))
        for row, table in enumerate(tables):
            found[row, : len(table)] = table
        return {"found": found}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Average precision, per class, worst errors; the baseline tiles each picture with mean boxes."""
        return detection.evaluate(
            [Detection.from_table(each) for each in outputs["found"]],
            _true(columns),
            sizes=np.asarray(columns["size"]),
            classes=self.labels,
            train=_true(train) if train is not None else None,
        )

    @classmethod
    def example(cls) -> tuple[ObjectDetectionInput, ObjectDetectionOutput]:
        """A drawn 7, found."""
        found = DetectedObject(label="7", confidence=0.97, box=[4.5, 5.5, 22.5, 24.5])
        return ObjectDetectionInput.make_example(), ObjectDetectionOutput(objects=[found])

    def _codes(self, objects: Sequence[Mapping[str, Any]]) -> np.ndarray:
        try:
            return np.array([self.labels.index(each["label"]) for each in objects], dtype=np.int64)
        except ValueError:
            unknown = next(each["label"] for each in objects if each["label"] not in self.labels)
            raise DataError(f"the model knows no class {unknown!r}; it knows {', '.join(self.labels)}") from None


class _Measured(Sequence[np.ndarray]):
    """Passes pictures on to their encoder, and remembers how large each was: to decode them twice costs seconds."""

    def __init__(self, pictures: Sequence[np.ndarray]) -> None:
        self._pictures = pictures
        self._sizes: dict[int, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: Any) -> Any:  # int -> uint8 [H, W, C]
        picture = self._pictures[index]
        self._sizes[index] = (picture.shape[1], picture.shape[0])
        return picture

    @property
    def array(self) -> np.ndarray | None:
        """All of one size, where they lie in one array; the encoder reads it whole."""
        return getattr(self._pictures, "array", None)

    def sizes(self) -> np.ndarray:
        """int64 [N, 2]: width and height; once each was read."""
        if self.array is not None:
            return np.tile(np.array(self.array.shape[2:0:-1], dtype=np.int64), (len(self), 1))
        return np.array([self._sizes[index] for index in range(len(self))], dtype=np.int64).reshape(-1, 2)


def _boxes(objects: Sequence[Mapping[str, Any]]) -> np.ndarray:
    return np.array([each["box"] for each in objects], dtype=np.float32).reshape(-1, 4)


def _true(columns: Mapping[str, Column]) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(columns["true_boxes"], columns["true_labels"], strict=True))
