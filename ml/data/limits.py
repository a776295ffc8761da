"""Limits on one import.

The importing process is sandboxed as well; exceeding a limit gives a reason, where the sandbox can only kill.
"""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on one upload; the defaults keep an import below 1 GiB of memory."""

    max_rows: int = 5_000_000
    max_columns: int = 200_000
    #: Rows x columns of one table.
    max_cells: int = 8_000_000_000
    max_classes: int = 50_000
    #: Files of one archive, and files of one upload.
    max_members: int = 250_000
    #: Folders above a file in an archive.
    max_depth: int = 16
    #: Bytes of one encoded image, and of one cell of a table.
    max_image_bytes: int = 50 * MEBIBYTE
    #: Characters of one text.
    max_text_characters: int = 1_000_000
    #: Pixels of one image.
    max_pixels: int = 25_000_000
    #: Longer side above which a JPEG is kept at a half, a quarter or an eighth of its size; None keeps all as they are.
    max_kept_side: int | None = 1024
    #: Duration of one audio clip.
    max_audio_seconds: float = 300.0
    #: Bytes of the whole upload, decompressed.
    max_total_bytes: int = 64 * GIBIBYTE
    #: Decompressed to compressed size; checked for files of more than `max_unchecked_bytes` decompressed.
    max_ratio: int = 200
    max_unchecked_bytes: int = 32 * MEBIBYTE
    #: Images of one size are stored as raw pixels up to this many bytes in all and each, and as encoded files above it.
    max_raw_bytes: int = 4 * GIBIBYTE
    max_raw_image_bytes: int = 64 * 1024
    #: Issues of one code that are listed with their location; all are counted.
    max_samples: int = 10
