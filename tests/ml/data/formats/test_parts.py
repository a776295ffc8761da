"""Every format reads several parts of one dataset, at once or one after another."""

from pathlib import Path

import pytest

from ml.data.derivation.earlier_version import EarlierVersion
from ml.data.formats import FORMATS
from tests.ml.data.formats.objects.test_every_field import WALKS as OBJECT_WALKS
from tests.ml.data.formats.test_every_format import COUNT, class_members, pngs, table
from tests.ml.data.formats.test_every_format import WALKS as OTHER_WALKS
from tests.support.ml import samples
from tests.support.ml.dataset_files import make_idx_pair, make_images, make_parquet, make_zip, upload
from tests.support.ml.format_walks import Walk

SHARDS = ("train-00000-of-00002", "train-00001-of-00002")
WALKS: dict[str, Walk] = {
    **{name: walks[0] for name, walks in {**OTHER_WALKS, **OBJECT_WALKS}.items()},
    "idx": Walk(lambda: make_idx_pair(make_images(COUNT), ["0", "1"] * (COUNT // 2)), {}),
    "parquet": Walk(
        lambda: {"a.parquet": make_parquet({name: [table(row)[name] for row in range(COUNT)] for name in table(0)})},
        {},
    ),
    "class_folders": Walk(lambda: class_members(".png", list(pngs().values())), {}, is_packed=True),
    "sound_folders": Walk(
        lambda: class_members(".wav", samples.VALUES["audio"](COUNT)), {}, is_packed=True, task="audio_classification"
    ),
}


def part_of(walk: Walk, shard: str) -> dict[str, bytes]:
    files = walk.files()
    if walk.is_packed:
        return {f"{shard}.zip": make_zip(list(files.items()))}
    return {f"{shard}-{name}": content for name, content in files.items()}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_reads_two_parts_at_once_or_one_after_the_other(tmp_path: Path, name: str) -> None:
    walk = WALKS[name]
    parts = [part_of(walk, shard) for shard in SHARDS]
    first = upload(tmp_path / "first", parts[0], task=walk.task)
    together = upload(tmp_path / "together", {**parts[0], **parts[1]}, task=walk.task)
    assert (first.state, together.state) == ("ready", "ready"), together.errors
    assert together.summary is not None
    assert together.summary.format == name
    if name == "interactions":
        assert together.rows == first.rows, "the events of one user are one history"
        return
    assert together.rows == 2 * first.rows
    appended = upload(
        tmp_path / "appended", parts[1], earlier=EarlierVersion.open(tmp_path / "first" / "dataset", "walk@1")
    )
    assert appended.state == "ready", appended.errors
    assert appended.rows == 2 * first.rows
    assert appended.summary is not None
    assert (appended.summary.format, appended.summary.columns) == (name, first.summary.columns if first.summary else {})
