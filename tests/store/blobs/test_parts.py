"""Parts of a file: those that follow each other from the first row on count."""

from pathlib import Path

from store.blobs.local import LocalBlobs
from store.blobs.parts import list_parts, predictions_key, put_part


def put(blobs: LocalBlobs, folder: Path, start: int, end: int, *, bad_rows: int = 0, job_id: str = "job_1") -> None:
    path = folder / "part"
    path.write_text(f"{start} {end}\n")
    put_part(blobs, job_id, path, start=start, end=end, bad_rows=bad_rows)


def test_parts_are_listed_in_order_with_their_bad_rows(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    put(blobs, tmp_path, 10, 25, bad_rows=3)
    put(blobs, tmp_path, 0, 10)
    put(blobs, tmp_path, 0, 7, job_id="job_2")

    parts = list_parts(blobs, "job_1")

    assert [(part.start, part.end, part.bad_rows) for part in parts] == [(0, 10, 0), (10, 25, 3)]
    with blobs.open(parts[1].key) as file:
        assert file.read() == b"10 25\n"
    assert not (tmp_path / "part").exists()
    assert list_parts(blobs, "job_3") == []


def test_a_part_of_an_overtaken_run_counts_where_it_is_longer(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    for start, end in ((0, 10), (0, 12), (10, 20), (12, 30)):
        put(blobs, tmp_path, start, end)

    assert [(part.start, part.end) for part in list_parts(blobs, "job_1")] == [(0, 12), (12, 30)]


def test_a_part_behind_a_gap_and_other_files_do_not_count(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    put(blobs, tmp_path, 5, 10)
    (tmp_path / "other").write_text("x")
    blobs.put_file(f"{predictions_key('job_1')}/predictions.parquet", tmp_path / "other")

    assert list_parts(blobs, "job_1") == []
