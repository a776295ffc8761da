"""Decompression bombs, read under the memory limit of the worker."""

import json
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.ml.dataset_files import make_base64_csv, make_oversized_png, make_png, make_tar, make_zip

READER = """
import json, re, resource, sys, time
from pathlib import Path
resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
from ml.data.importing.importer import import_dataset
import ml.data.formats.tables.parquet, ml.data.formats.tables.csv
started = time.process_time()
report = import_dataset([Path(sys.argv[1])], Path(sys.argv[2]))
print(json.dumps({
    "codes": [entry.code for entry in report.errors],
    "seconds": time.process_time() - started,
    # Not ru_maxrss: that of a child begins with its parent's.
    "memory": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024,
}))
"""


def zip_of_zeros() -> bytes:
    return make_zip([("0/a.png", bytes(200 << 20))], compression=zipfile.ZIP_DEFLATED)


def gzip_stream(*chunks: bytes) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    return b"".join([*map(compressor.compress, chunks), compressor.flush()])


def idx_of_zeros() -> bytes:
    """A million images of 1024 x 1024, in a file of some kilobytes."""
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, 1_000_000, 1024, 1024)
    return gzip_stream(header, *[bytes(1 << 20)] * 300)


def tar_of_one_header() -> bytes:
    """An extended header of 300 MB, which `tarfile` reads into memory."""
    block = bytearray(make_tar([("0/a.png", make_png())])[:512])
    block[124:136] = b"%011o\0" % (300 << 20)
    block[156:157] = b"x"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return gzip_stream(bytes(block), *[bytes(1 << 20)] * 300)


def parquet_of_repeats() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"image": pa.array([b"y" * 100]).take(pa.array(np.zeros(1_000_000, "int64")))})
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        for _ in range(8):
            writer.write_table(table)
    return sink.getvalue().to_pybytes()


#: Reading a bomb takes 1 to 7 seconds on slow processors; unpacking a whole one would take minutes.
MAX_CPU_SECONDS = 20
BOMBS = {
    "zip.zip": (zip_of_zeros, "archive_bomb"),
    "images-idx3-ubyte.gz": (idx_of_zeros, "archive_bomb"),
    "endless.tar.gz": (tar_of_one_header, "archive_bomb"),
    "zeros.csv.gz": (lambda: gzip_stream(b"label,image\n", *[b"1," * (1 << 20)] * 150), "archive_bomb"),
    "one line.csv": (lambda: b"label,image\n0,x\n0," + b"x" * (40 << 20), "cell_too_large"),
    "open quote.csv": (
        lambda: make_base64_csv([make_png()] * 30, ["0"] * 30) + b'0,"' + b"x\n" * (20 << 20),
        "cell_too_large",
    ),
    "columns.csv": (lambda: b"a," * 2_000_000 + b"\n" + b"1," * 2_000_000 + b"\n", "table_too_large"),
    "rows.parquet": (parquet_of_repeats, "too_many_rows"),
    "huge.png": (lambda: make_oversized_png(13_000, 13_000), "image_too_large"),
}


@pytest.mark.process
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_rejected_in_bounded_time_and_memory(tmp_path, name):
    make, code = BOMBS[name]
    (tmp_path / name).write_bytes(make())
    result = read(tmp_path / name, tmp_path / "dataset")
    assert code in result["codes"]
    assert result["seconds"] < MAX_CPU_SECONDS
    assert result["memory"] < 500 << 20
    assert not (tmp_path / "dataset").exists()


def read(source: Path, into: Path) -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READER, str(source), str(into)],
        cwd=Path(__file__).parents[3],
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    result: dict[str, Any] = json.loads(process.stdout)
    return result
