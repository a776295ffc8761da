"""State of a generation loop, from which the network resumes.

R rows, T tokens read in a step, P positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.signals import Arrays

    Shape = Sequence[int]

#: Positions that are allocated together. More cost attention to what is not there, fewer are copied more often.
BLOCK: Final = 32


def state_names(slot: str, parts: int, *, kind: str = "state") -> tuple[str, ...]:
    """Return the names of the arrays of a state.

    A single one is `text_state`; several are `text_state_0` and so on.
    """
    return (f"{slot}_{kind}",) if parts == 1 else tuple(f"{slot}_{kind}_{part}" for part in range(parts))


def state_shapes(task_state: Mapping[str, Any]) -> list[list[int]]:
    """Return the shape of each part of the state that a task describes.

    Shapes are without rows and positions; there are none without a cache. Earlier packages have one part, of which they
    name the width.
    """
    if "state_shapes" in task_state:
        return [list(shape) for shape in task_state["state_shapes"]]
    width: int = task_state["state_width"]
    return [[width]] if width else []


class GenerationState:
    """Arrays that a network with a cache reads.

    They are float32 [R, ..., P, width], and a mask tells which positions are real. A graph that returns keys and values
    of its input alone (`{slot}_new_state_...`) has them written into positions that are allocated ahead; another
    returns the whole next state. Positions of a row that are not real may lie anywhere, and hold any finite number.
    """

    def __init__(self, slot: str, shapes: Sequence[Shape], *, rows: int = 0) -> None:
        """Create a state of rows that have read nothing.

        A network without a cache has no shapes.
        """
        self._names, self._new_names, self._next_names = (
            state_names(slot, len(shapes), kind=kind) for kind in ("state", "new_state", "next_state")
        )
        self._mask_name, self._next_mask_name = f"{slot}_state_mask", f"{slot}_next_state_mask"
        self._parts = [np.zeros((rows, *shape[:-1], 0, shape[-1]), dtype=np.float32) for shape in shapes]
        self._mask = np.zeros((rows, 0), dtype=bool)

    def inputs(self) -> Arrays:
        """Return what the graph reads."""
        if not self._parts:
            return {}
        return {**dict(zip(self._names, self._parts, strict=True)), self._mask_name: self._mask}

    def update(self, outputs: Arrays, is_token: np.ndarray) -> None:
        """Add what a step has read.

        `is_token` bool [R, T] is true for the tokens, which come before padding.
        """
        if self._next_mask_name in outputs:
            self._parts = [outputs[name] for name in self._next_names]
            self._mask = outputs[self._next_mask_name]
        elif self._parts:
            self._write([outputs[name] for name in self._new_names], is_token)

    def _write(self, new_parts: Sequence[np.ndarray], is_token: np.ndarray) -> None:
        rows, length = is_token.shape
        starts = self._mask.sum(axis=1)
        end = int(starts.max(initial=0)) + length
        if end > self._mask.shape[1]:
            self._resize(-(-end // BLOCK) * BLOCK)
        index = np.arange(rows)[:, None], starts[:, None] + np.arange(length)
        for part, new in zip(self._parts, new_parts, strict=True):
            _by_position(part)[index] = _by_position(new)
        self._mask[index] = is_token

    def extend(self, joining: GenerationState) -> None:
        """Append the rows of a state."""
        self._align()
        joining._align()
        length = max(self._mask.shape[1], joining._mask.shape[1])
        self._resize(length)
        joining._resize(length)
        self._parts = [np.concatenate(pair) for pair in zip(self._parts, joining._parts, strict=True)]
        self._mask = np.concatenate([self._mask, joining._mask])

    def retain(self, rows: np.ndarray) -> None:
        """Keep these rows alone, int64 indices."""
        self._parts = [part[rows] for part in self._parts]
        self._mask = self._mask[rows]
        self._align()

    def _align(self) -> None:
        """Move the real positions of each row to the left, and drop unused positions."""
        lengths = self._mask.sum(axis=1)
        aligned = np.arange(int(lengths.max(initial=0))) < lengths[:, None]
        if not np.array_equal(self._mask[:, : aligned.shape[1]], aligned):
            for index, part in enumerate(self._parts):
                moved = np.zeros_like(part)
                _by_position(moved)[:, : aligned.shape[1]][aligned] = _by_position(part)[self._mask]
                self._parts[index] = moved
            self._mask = np.pad(aligned, [(0, 0), (0, self._mask.shape[1] - aligned.shape[1])])
        self._resize(aligned.shape[1])

    def _resize(self, length: int) -> None:
        """Add positions that are not real, or drop the last ones."""
        retained = min(length, self._mask.shape[1])
        if retained == length == self._mask.shape[1]:
            return
        for index, part in enumerate(self._parts):
            resized = np.zeros((*part.shape[:-2], length, part.shape[-1]), dtype=part.dtype)
            resized[..., :retained, :] = part[..., :retained, :]
            self._parts[index] = resized
        self._mask = np.pad(self._mask[:, :retained], [(0, 0), (0, length - retained)])


def _by_position(part: np.ndarray) -> np.ndarray:
    """Return a view [R, P, ...] of [R, ..., P, width]."""
    return part.swapaxes(1, -2)
