"""A record is encoded alike alone and among many others."""

import numpy as np

from ml.preprocessing.record_encoding import MAX_ROWS_BY_CELL, RecordEncoding

KNOTS = [-3.5, -1.0, 0.1, 0.3, 7.0, 1e9]
CONFIG = {
    "numbers": [
        {"name": "size", "kind": "number", "part": None, "mean": 0.7, "deviation": 1.3, "knots": KNOTS},
        {"name": "only", "kind": "number", "part": None, "mean": 2.0, "deviation": 0.1, "knots": [2.0]},
        {"name": "day", "kind": "date", "part": "weekday", "mean": 3.0, "deviation": 2.0, "knots": [0.0, 3.0, 6.0]},
    ],
    "categories": [{"name": "site", "names": ["a", "b"]}, {"name": "open", "names": ["true"]}],
}


def test_few_records_are_encoded_exactly_as_many_are():
    rng = np.random.default_rng(0)
    sizes = [*KNOTS, *rng.normal(0, 4, 100), -1e300, 1e300, 3, True, None, "1.5", "many"]
    records = [
        {
            "size": size,
            "only": size,
            "day": f"2026-03-{1 + row % 28:02}" if row % 5 else None,
            "site": ("a", "b", "c", None)[row % 4],
            "open": row % 2 == 0,
        }
        for row, size in enumerate(sizes)
    ]
    encoding = RecordEncoding(CONFIG)
    assert len(records) > MAX_ROWS_BY_CELL
    together = encoding.encode(records)
    alone = np.concatenate([encoding.encode([record]) for record in records])
    assert together.shape == (len(records), 3 * 3 + 2)
    np.testing.assert_array_equal(alone, together)
