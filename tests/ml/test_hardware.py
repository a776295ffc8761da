"""Hardware, as the kernel describes it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from ml import hardware


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux describes its processor in a file")
def test_the_processor_computes_in_bfloat16_where_torch_says_so() -> None:
    capabilities = torch.cpu.get_capabilities()
    assert hardware.has_bfloat16() is bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


@pytest.mark.parametrize(
    ("flags", "expected"), [("fpu avx2 avx512f", False), ("fpu avx512_bf16", True), ("amx_bf16 amx_tile", True)]
)
def test_bfloat16_is_read_from_the_flags(
    flags: str, *, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t: amx_bf16_bug\n")
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    assert hardware.has_bfloat16.__wrapped__() is expected


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such files")
@pytest.mark.parametrize(("file", "expected"), [("null", False), ("nvidia0", True), ("kfd", True), ("dxg", True)])
def test_a_gpu_has_a_device_file(file: str, *, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / file).touch()
    monkeypatch.setattr(hardware, "DEVICES", tmp_path)
    assert hardware.may_have_gpu() is expected
