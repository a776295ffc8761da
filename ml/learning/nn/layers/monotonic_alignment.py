"""Monotonic alignment of the characters of a text with the frames of its audio.

B batch, L characters, T frames.
"""

from __future__ import annotations

import numpy as np


def monotonic_alignment(cost_BLT: np.ndarray, characters_B: np.ndarray, frames_B: np.ndarray) -> np.ndarray:
    """Return the duration of each character in frames, int64 [B, L], at minimal total cost.

    Monotonic alignment search (Kim et al. 2020, arXiv:2005.11129, algorithm 1). The first frame belongs to the first
    character, the last frame to the last character, and each character has at least one frame. A row with more
    characters than frames gets zeros. `cost_BLT` is the cost of assigning a frame to a character; `characters_B` and
    `frames_B` are the lengths of the rows.
    """
    rows, characters, frames = cost_BLT.shape
    total_BL = np.full((rows, characters), np.inf)
    total_BL[:, 0] = cost_BLT[:, 0, 0]
    advances_TBL = np.zeros((frames, rows, characters), dtype=bool)
    for frame in range(1, frames):
        # Infinity in front: no character precedes the first.
        previous_BL = np.concatenate([np.full((rows, 1), np.inf), total_BL[:, :-1]], axis=1)
        advances_BL = previous_BL < total_BL
        is_real_B1 = (frame < frames_B)[:, None]
        total_BL = np.where(is_real_B1, np.where(advances_BL, previous_BL, total_BL) + cost_BLT[:, :, frame], total_BL)
        advances_TBL[frame] = advances_BL & is_real_B1
    return _backtrack(advances_TBL, characters_B, frames_B)


def _backtrack(advances_TBL: np.ndarray, characters_B: np.ndarray, frames_B: np.ndarray) -> np.ndarray:
    frames, rows, characters = advances_TBL.shape
    is_alignable_B = (characters_B <= frames_B) & (characters_B > 0)
    durations_BL = np.zeros((rows, characters), dtype=np.int64)
    row_B = np.arange(rows)
    character_B = np.maximum(characters_B - 1, 0)
    for frame in range(frames - 1, -1, -1):
        is_real_B = (frame < frames_B) & is_alignable_B
        durations_BL[row_B[is_real_B], character_B[is_real_B]] += 1
        character_B = character_B - (advances_TBL[frame, row_B, character_B] & is_real_B)
    return durations_BL
