"""Which frame of a recording belongs to which letter of its text, when all that is known is that neither goes back.

B batch, L letters, T frames.
"""

from __future__ import annotations

import numpy as np


def monotonic_alignment(cost_BLT: np.ndarray, letters_B: np.ndarray, frames_B: np.ndarray) -> np.ndarray:
    """int64 [B, L]: how many frames each letter lasts, so that costs add up to the least there is.

    Monotonic alignment search (Kim et al. 2020, arXiv:2005.11129, algorithm 1): the first frame belongs to the first
    letter, the last to the last, and each letter has at least one; a row of more letters than frames gets zeros.
    """
    rows, letters, frames = cost_BLT.shape
    fits = letters_B <= frames_B
    best_BL = np.full((rows, letters), np.inf)
    best_BL[:, 0] = cost_BLT[:, 0, 0]
    moved_TBL = np.zeros((frames, rows, letters), dtype=bool)
    for frame in range(1, frames):
        # Infinity in front: no letter comes before the first.
        before_BL = np.concatenate([np.full((rows, 1), np.inf), best_BL[:, :-1]], axis=1)
        moved = before_BL < best_BL
        open_B1 = (frame < frames_B)[:, None]
        best_BL = np.where(open_B1, np.where(moved, before_BL, best_BL) + cost_BLT[:, :, frame], best_BL)
        moved_TBL[frame] = moved & open_B1
    lasts_BL = np.zeros((rows, letters), dtype=np.int64)
    every = np.arange(rows)
    letter = np.maximum(letters_B - 1, 0)
    for frame in range(frames - 1, -1, -1):
        inside = (frame < frames_B) & fits & (letters_B > 0)
        lasts_BL[every[inside], letter[inside]] += 1
        letter = letter - (moved_TBL[frame, every, letter] & inside)
    return lasts_BL
