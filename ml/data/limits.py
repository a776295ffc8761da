"""How much one import may cost. The process that imports is jailed too; these say why, where the jail only kills."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on one upload; with these an import stays under 1 GiB of memory."""

    max_rows: int = 5_000_000
    max_columns: int = 200_000
    max_cells: int = 8_000_000_000
    """Rows x columns of one table."""
    max_classes: int = 50_000
    max_members: int = 250_000
    """Of one archive; also files of one upload."""
    max_depth: int = 16
    """Folders above a file in an archive."""
    max_picture_bytes: int = 50 * MEBIBYTE
    """Of one encoded picture, and of one cell of a table."""
    max_text_letters: int = 1_000_000
    """Of one text."""
    max_pixels: int = 25_000_000
    """Of one picture."""
    max_audio_seconds: float = 300.0
    """Of one recording."""
    max_total_bytes: int = 64 * GIBIBYTE
    """Of all that is in the upload, decompressed."""
    max_ratio: int = 200
    """Decompressed to compressed, looked at only past `unsuspicious_bytes`."""
    unsuspicious_bytes: int = 32 * MEBIBYTE
    max_raw_bytes: int = 4 * GIBIBYTE
    """Pictures of one size are kept as plain pixels up to here, as they came beyond."""
    max_samples: int = 10
    """Places shown for each kind of finding; all are counted."""
