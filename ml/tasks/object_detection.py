"""Object detection: the class and bounding box of every object in an image.

N rows, B batch, C channels, K classes, M objects of the row with the most. A box is x1, y1, x2, y2.
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
from ml.preprocessing.image_sizes import detection_encoder_options
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Signal, Slot
from ml.tasks.base import MODEL, Output, Task
from ml.wire import ImageInput, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation

#: Columns with a value for each object of a row.
OBJECT_COLUMNS: Final = ("true_boxes", "true_labels", "true_crowds")
#: Label that pads rows with fewer objects than another row of the batch.
NO_OBJECT: Final = -1


class ObjectDetectionConfig(Config):
    """Detection grid, overlap limit and augmentation."""

    stride: int = Field(
        4, ge=1, le=64, description="Pixels between possible object centers. Objects closer to each other are merged."
    )
    overlap: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Maximum intersection over union of two boxes of one class; above it, only the box with the higher "
        "confidence is returned.",
    )
    augmentation: Literal["off", "light"] = Field(
        "light", description="`light`: scale and shift training images, with their boxes."
    )
    mirror: Mirror = Field(
        "sides",
        description="How `light` augmentation mirrors images. `sides`: left-right. `both`: also up-down, for images "
        "without an upright position, as in microscopy. `no`: never, for images with text.",
    )


class ObjectDetectionInput(ImageInput):
    """An image, and which objects to return."""

    confidence: float = Field(
        detection.DEFAULT_CONFIDENCE, ge=0, le=1, description="Minimum confidence of the objects that are returned"
    )
    max_objects: int = Field(
        100, ge=1, le=MAX_PEAKS, description="Maximum number of objects; those with the highest confidence"
    )


class DetectedObject(BaseModel):
    """One detected object."""

    label: str
    confidence: float = Field(ge=0, le=1)
    box: list[float] = Field(
        min_length=4, max_length=4, description="Left, top, right and bottom in pixels of the image that was sent"
    )


class ObjectDetectionOutput(Wire):
    """The detected objects, by decreasing confidence."""

    objects: list[DetectedObject]


class ObjectDetection(Task):
    """Detects any number of objects in an image, or none."""

    name = "object_detection"
    summary = "Detect objects in an image: the class and bounding box of each"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.MAPS}), default_architecture="cnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "objects": "objects"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"image": "image"}
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

    @classmethod
    def learn(cls, config: ObjectDetectionConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return the names of the classes, in natural order."""
        return {"labels": summary.classes}

    @classmethod
    def check_dataset(cls, summary: DatasetSummary) -> list[str]:
        """Check the columns, the row counts, and that there is at least one object."""
        reasons = super().check_dataset(summary)
        objects = summary.facts.get("objects", {}).get("objects", 1)
        if "objects" in summary.columns and not (summary.classes and objects):
            reasons.append(f"{cls.name} needs at least one object; the dataset has none")
        return reasons

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Read images of several sizes so large that most objects are seen."""
        return {"image": detection_encoder_options(summary)}

    def head_config(self) -> dict[str, Any]:
        """Return the number of classes, and the stride of the grid."""
        return {"classes": len(self.labels), "stride": self.config.stride}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Decode the image, and return the limits of the request."""
        request = self.input_type.of(raw_input, parameters=parameters)
        return {"image": request.raw(), "confidence": request.confidence, "max_objects": request.max_objects}

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[ObjectDetectionInput, dict[str, Any]]:
        """Return the image as PNG, and the objects."""
        return ObjectDetectionInput(image=images.encode_png(row["image"])), {"objects": row.get("objects", [])}

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return `image` uint8 [N, C, H, W] and `size` int64 [N, 2].

        The size is the original width and height. Training rows also have `true_boxes`, float32 [m, 4] per row, as
        fractions of the image, `true_labels`, int64 [m] per row, and `true_crowds`, bool [m] per row.
        """
        sized_images = _SizedImages(rows.columns["image"])
        columns = super().encode(Rows({**rows.columns, "image": sized_images}))
        columns["size"] = sized_images.sizes()
        for name in ("confidence", "max_objects"):
            if name in rows.columns:
                columns[name] = np.array(rows.columns[name])
        if "objects" in rows.columns:
            objects = list(rows.columns["objects"])
            scale = np.concatenate([columns["size"], columns["size"]], axis=1)
            boxes = (_boxes(row) / size for row, size in zip(objects, scale, strict=True))
            # Rounding can move the edge of a scaled box beyond 1.
            columns["true_boxes"] = [row.clip(0, 1).astype(np.float32) for row in boxes]
            columns["true_labels"] = [self._label_codes(row) for row in objects]
            columns["true_crowds"] = [
                np.array([bool(item.get("crowd")) for item in row], dtype=bool) for row in objects
            ]
        return columns

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Transform the images with their boxes if augmentation is on."""
        if self.config.augmentation == "off":
            return columns
        image, boxes, is_visible = random_affine_with_boxes(
            np.asarray(columns["image"]), list(columns["true_boxes"]), generator, mirror=self.config.mirror
        )
        visible = {
            name: [values[mask] for values, mask in zip(columns[name], is_visible, strict=True)]
            for name in ("true_labels", "true_crowds")
        }
        return {**columns, "image": image, "true_boxes": boxes, **visible}

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Return images in 0..1 and padded objects.

        The objects are `true_boxes` float32 [B, M, 4], `true_labels` int64 [B, M] and `true_crowds` bool [B, M].
        """
        fixed_size = {name: column for name, column in columns.items() if name not in OBJECT_COLUMNS}
        arrays = super().collate(fixed_size)
        if "true_boxes" not in columns:
            return arrays
        max_objects = max([1, *(len(codes) for codes in columns["true_labels"])])
        boxes = np.zeros((len(columns["true_boxes"]), max_objects, 4), dtype=np.float32)
        labels = np.full(boxes.shape[:2], NO_OBJECT, dtype=np.int64)
        crowds = np.zeros(labels.shape, dtype=bool)
        for row, (row_boxes, codes, are_crowds) in enumerate(
            zip(*(columns[name] for name in OBJECT_COLUMNS), strict=True)
        ):
            count = len(codes)
            boxes[row, :count], labels[row, :count], crowds[row, :count] = row_boxes, codes, are_crowds
        return {**arrays, "true_boxes": boxes, "true_labels": labels, "true_crowds": crowds}

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `scores` float [B, K, H, W] and `boxes` float [B, 4, H, W]."""
        outputs: list[Output] = []
        for row, (width, height) in enumerate(arrays["size"].tolist()):
            detections = select_boxes(
                arrays["scores"][row],
                arrays["boxes"][row],
                min_score=float(arrays["confidence"][row]),
                max_boxes=int(arrays["max_objects"][row]),
                max_iou=self.config.overlap,
            )
            boxes = detections.boxes.clip(0, 1) * [width, height, width, height]
            objects = [
                {"label": self.labels[code], "confidence": confidence, "box": box}
                for box, confidence, code in zip(
                    boxes.round(2).tolist(), detections.confidence.tolist(), detections.label.tolist(), strict=True
                )
            ]
            outputs.append({"objects": objects})
        return outputs

    def collect(self, outputs: Arrays, batch: Arrays, predict: Callable[[], Arrays]) -> Arrays:
        """Return `detections` float64 [B, max. objects of a row, 6], as from `Detection.to_table`."""
        predictions = predict()
        tables = [
            select_boxes(
                scores, boxes, min_score=0, max_boxes=detection.MAX_DETECTIONS, max_iou=self.config.overlap
            ).to_table()
            for scores, boxes in zip(predictions["scores"], predictions["boxes"], strict=True)
        ]
        detections = np.zeros((len(tables), max(len(table) for table in tables), 6))
        for row, table in enumerate(tables):
            detections[row, : len(table)] = table
        return {"detections": detections}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute average precision, overall and per class, and the worst errors.

        The baseline tiles every image with boxes of the mean size.
        """
        return detection.evaluate(
            [Detection.from_table(table) for table in outputs["detections"]],
            _true_objects(columns),
            sizes=np.asarray(columns["size"]),
            classes=self.labels,
            train=_true_objects(train) if train is not None else None,
        )

    @classmethod
    def example(cls) -> tuple[ObjectDetectionInput, ObjectDetectionOutput]:
        """A drawn 7, detected."""
        detected = DetectedObject(label="7", confidence=0.97, box=[4.5, 5.5, 22.5, 24.5])
        return ObjectDetectionInput.make_example(), ObjectDetectionOutput(objects=[detected])

    def _label_codes(self, objects: Sequence[Mapping[str, Any]]) -> np.ndarray:
        try:
            return np.array([self.labels.index(item["label"]) for item in objects], dtype=np.int64)
        except ValueError:
            unknown = next(item["label"] for item in objects if item["label"] not in self.labels)
            message = f"the model has no class {unknown!r}; its classes are {', '.join(self.labels)}"
            raise DataError(message, hint="Correct the label, or train a model with this class.") from None


class _SizedImages(Sequence[np.ndarray]):
    """Images that record their size when they are read: decoding twice is slow."""

    def __init__(self, pixels: Sequence[np.ndarray]) -> None:
        self._pixels = pixels
        self._sizes: dict[int, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: Any) -> Any:  # int -> uint8 [H, W, C]
        image = self._pixels[index]
        self._sizes[index] = (image.shape[1], image.shape[0])
        return image

    @property
    def array(self) -> np.ndarray | None:
        """All images, if they are stored in one array, which the encoder reads whole."""
        return getattr(self._pixels, "array", None)

    def sizes(self) -> np.ndarray:
        """Return int64 [N, 2], width and height, after every image has been read."""
        if self.array is not None:
            return np.tile(np.array(self.array.shape[2:0:-1], dtype=np.int64), (len(self), 1))
        return np.array([self._sizes[index] for index in range(len(self))], dtype=np.int64).reshape(-1, 2)


def _boxes(objects: Sequence[Mapping[str, Any]]) -> np.ndarray:
    return np.array([item["box"] for item in objects], dtype=np.float32).reshape(-1, 4)


def _true_objects(columns: Mapping[str, Column]) -> list[detection.TrueObjects]:
    return [detection.TrueObjects(*row) for row in zip(*(columns[name] for name in OBJECT_COLUMNS), strict=True)]
