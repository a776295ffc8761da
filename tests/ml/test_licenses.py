"""Licenses as files state them, and what they exclude."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from ml.data.importing.note_files import read_notes
from ml.licenses import combine_licenses, find_license, is_noncommercial, normalize_license

MIT = b"The Example License (MIT)\n\nPermission is hereby granted, free of charge, to any person\nobtaining a copy of"
APACHE = b"                                 Apache License\n                           Version 2.0, January 2004\n"


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("mit", "MIT"),
        ("apache-2.0", "Apache-2.0"),
        ("Apache 2.0", "Apache-2.0"),
        ("cc-by-nc-sa-4.0", "CC-BY-NC-SA-4.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("cc0-1.0", "CC0-1.0"),
        ("llama3", "llama3"),
        ("  our own\n terms ", "our own terms"),
    ],
)
def test_known_licenses_become_spdx_identifiers(text: str, identifier: str) -> None:
    assert normalize_license(text) == identifier


@pytest.mark.parametrize(
    "license",
    [
        *("CC-BY-NC-4.0", "cc-by-nc-nd-3.0", "cc-by-nc", "CC BY-NC-SA 2.0", "MIT AND CC-BY-NC-4.0"),
        *("research only", "For research purposes only", "research-use-only", "academic use only"),
        *("fair-noncommercial-research-license", "PolyForm-Noncommercial-1.0.0", "free for non-commercial use"),
    ],
)
def test_licenses_that_exclude_commercial_use_are_recognized(license: str) -> None:
    assert is_noncommercial(license)


@pytest.mark.parametrize(
    "license", [None, "MIT", "CC-BY-SA-4.0", "Apache-2.0", "NCSA", "BSD-3-Clause", "openrail", "GPL-3.0", "encore"]
)
def test_other_licenses_are_not(license: str | None) -> None:
    assert not is_noncommercial(license)


@pytest.mark.parametrize(
    ("files", "license"),
    [
        ({"README.md": b"---\nlicense: cc-by-nc-4.0\ntags: [a]\n---\n# Data\n"}, "CC-BY-NC-4.0"),
        ({"README.md": b"---\r\nlicense: mit\r\n---\r\n"}, "MIT"),
        ({"README.md": b"---\nlicense:\n- mit\n- cc-by-4.0\n---\n"}, "MIT AND CC-BY-4.0"),
        ({"README.md": b"---\nlicense: other\nlicense_name: llama3\n---\n"}, "llama3"),
        ({"README.md": b"---\nlicense: unknown\n---\n", "LICENSE": MIT}, "MIT"),
        ({"README.md": b"---\nlicense: [\n---\n", "data/LICENSE.txt": APACHE}, "Apache-2.0"),
        ({"README.md": b"# No front matter\nlicense: mit\n"}, None),
        ({"LICENSE": b"Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International"}, "CC-BY-NC-SA-4.0"),
        ({"LICENSE": b"Attribution 4.0 International\n\n=======\n"}, "CC-BY-4.0"),
        ({"LICENSE": b"This work is licensed under CC BY-NC 3.0."}, "CC-BY-NC-3.0"),
        ({"LICENSE": b"GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007"}, "GPL-3.0"),
        ({"LICENSE": b"\xff\xfe nothing that anyone knows"}, None),
        ({}, None),
    ],
)
def test_files_state_a_license(files: dict[str, bytes], license: str | None) -> None:
    assert find_license(files) == license


def test_licenses_of_several_parts_are_combined_once() -> None:
    assert combine_licenses(["MIT", None, "CC-BY-4.0 AND MIT"]) == "MIT AND CC-BY-4.0"
    assert combine_licenses([None]) is None


def make_archives(folder: Path) -> list[Path]:
    readme = b"---\nlicense: odbl\n---\n"
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        archive.writestr("set/README.md", readme)
        archive.writestr("set/a/b/LICENSE", MIT)
    with tarfile.open(folder / "data.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("./set/README.md")
        info.size = len(readme)
        archive.addfile(info, io.BytesIO(readme))
    (folder / "README.md").write_bytes(readme)
    return [folder / "data.zip", folder / "data.tar.gz", folder / "README.md"]


def test_a_license_is_read_loose_and_in_archives(tmp_path: Path) -> None:
    for path in make_archives(tmp_path):
        assert find_license(read_notes([path])) == "ODbL-1.0", path.name
    (tmp_path / "broken.zip").write_bytes((tmp_path / "data.zip").read_bytes()[:-30])
    (tmp_path / "broken.tar.gz").write_bytes(b"\x1f\x8bnothing")
    assert find_license(read_notes([tmp_path / "broken.zip", tmp_path / "broken.tar.gz"])) is None
