"""Licenses of data and models, recognized in files and written as SPDX identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

MAX_LICENSE_CHARACTERS: Final = 200
#: Bytes of a file that are searched for a license.
MAX_READ_BYTES: Final = 64 << 10
#: Between the licenses of several parts (SPDX 2.3, annex D).
AND: Final = " AND "
#: Common SPDX identifiers; names that people write in lower case get their spelling.
_IDENTIFIERS: Final = (
    *("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Unlicense", "CC0-1.0", "PDDL-1.0", "WTFPL", "Zlib"),
    *("GPL-2.0", "GPL-3.0", "LGPL-2.1", "LGPL-3.0", "AGPL-3.0", "MPL-2.0", "EPL-2.0", "AFL-3.0", "MS-PL", "ECL-2.0"),
    *("GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "ODbL-1.0", "ODC-By-1.0", "GFDL-1.3"),
    *("CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "C-UDA-1.0", "OGL-UK-3.0"),
    *(
        f"CC-BY{kind}-{version}"
        for kind in ("", "-SA", "-ND", "-NC", "-NC-SA", "-NC-ND")
        for version in ("1.0", "2.0", "2.5", "3.0", "4.0")
    ),
)
_SPELLINGS: Final[Mapping[str, str]] = {name.lower(): name for name in _IDENTIFIERS}
#: Names on the Hugging Face hub and in papers that are no SPDX identifiers.
_ALIASES: Final[Mapping[str, str]] = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "mit license": "MIT",
    "odbl": "ODbL-1.0",
    "odc-by": "ODC-By-1.0",
    "pddl": "PDDL-1.0",
    "cc0": "CC0-1.0",
    "public domain": "CC0-1.0",
    "gfdl": "GFDL-1.3",
}
#: Beginnings of the usual license texts, in lower case with single spaces; the first match counts.
_TEXTS: Final = (
    ("apache license version 2.0", "Apache-2.0"),
    ("gnu affero general public license version 3", "AGPL-3.0"),
    ("gnu lesser general public license version 3", "LGPL-3.0"),
    ("gnu general public license version 3", "GPL-3.0"),
    ("gnu general public license version 2", "GPL-2.0"),
    ("mozilla public license version 2.0", "MPL-2.0"),
    ("open database license", "ODbL-1.0"),
    ("cc0 1.0 universal", "CC0-1.0"),
    ("permission is hereby granted, free of charge, to any person obtaining a copy", "MIT"),
    ("neither the name of", "BSD-3-Clause"),
    ("redistributions of source code must retain", "BSD-2-Clause"),
)
_CREATIVE_COMMONS: Final = re.compile(
    r"(?:creative commons )?attribution(?P<kinds>(?:[ -]*(?:non-?commercial|share-?alike|no-?derivatives|noderivs))*)"
    r"[ ,]*(?P<version>\d\.\d)",
    re.IGNORECASE,
)
_CC_NAME: Final = re.compile(r"cc[ -]by(?:[ -](?:nc|sa|nd))*[ -]\d\.\d", re.IGNORECASE)
_CC_WORDS: Final = (("noncommercial", "NC"), ("sharealike", "SA"), ("noderiv", "ND"))
#: Terms that exclude commercial use.
_NONCOMMERCIAL: Final = re.compile(
    r"(?:^|[-_ /])nc(?:[-_ /]|$)|non-?\s?commercial|not for commercial|no commercial|"
    r"research[- _](?:use[- _])?only|academic[- _](?:use[- _])?only|only for (?:academic|research)|"
    r"(?:academic|research|educational) (?:use|purposes) only|for research purposes only",
    re.IGNORECASE,
)
_FRONT_MATTER: Final = re.compile(r"\A\ufeff?---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
#: Values of `license` that say where the terms are, not what they are.
_UNKNOWN: Final = frozenset({"unknown", "other", "none", "null", "more information needed", ""})


def normalize_license(text: str) -> str:
    """Return the SPDX identifier of a known license, else the text on one line."""
    plain = " ".join(text.split())[:MAX_LICENSE_CHARACTERS]
    key = plain.lower()
    return _SPELLINGS.get(key) or _SPELLINGS.get(key.replace(" ", "-")) or _ALIASES.get(key) or plain


def is_noncommercial(license: str | None) -> bool:
    """Return whether the name or text of a license excludes commercial use."""
    return license is not None and _NONCOMMERCIAL.search(license) is not None


def combine_licenses(licenses: Iterable[str | None]) -> str | None:
    """Combine the licenses of several parts; None if none is known."""
    parts = dict.fromkeys(part for license in licenses if license for part in license.split(AND))
    return AND.join(parts)[: 5 * MAX_LICENSE_CHARACTERS] or None


def is_license_file(name: str) -> bool:
    """Return whether a file may state a license, at most one folder deep."""
    path = PurePosixPath(name)
    stem = path.name.lower().partition(".")[0]
    return len(path.parts) <= 2 and stem in ("readme", "license", "licence", "copying", "license-data")


def find_license(files: Mapping[str, bytes]) -> str | None:
    """Return the license that files state; None if they state none.

    The field `license` at the beginning of a README precedes the text of a license file, as on the Hugging Face hub.

    Args:
        files: Name -> content of the files that `is_license_file` accepts.
    """
    texts = {name: content[:MAX_READ_BYTES].decode("utf-8", "replace") for name, content in sorted(files.items())}
    readmes = [text for name, text in texts.items() if PurePosixPath(name).name.lower().startswith("readme")]
    others = [text for name, text in texts.items() if text not in readmes]
    for text in readmes:
        if license := _read_license_field(text):
            return license
    return next((license for text in others if (license := _recognize(text))), None)


def read_front_matter(text: str) -> dict[str, Any]:
    """Return the fields at the beginning of a README, in YAML; empty without any."""
    match = _FRONT_MATTER.match(text)
    if match is None:
        return {}
    # Imported here: most processes that judge licenses read none.
    import yaml

    try:
        fields = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _read_license_field(text: str) -> str | None:
    fields = read_front_matter(text)
    names = [str(name).strip() for name in _to_list(fields.get("license"))]
    if names and all(name.lower() in _UNKNOWN for name in names):
        names = [str(name).strip() for name in _to_list(fields.get("license_name"))]
    return combine_licenses(normalize_license(name) for name in names if name.lower() not in _UNKNOWN)


def _to_list(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str | int | float)]


def _recognize(text: str) -> str | None:
    """Return the license whose text this is; None if it is not a usual one."""
    plain = " ".join(re.sub(r"[*#_=`]", " ", text).split())
    start = plain[:2000]
    if match := _CC_NAME.search(start):
        return normalize_license(match[0].replace(" ", "-"))
    if match := _CREATIVE_COMMONS.search(start):
        kinds = re.sub(r"[ -]", "", match["kinds"].lower())
        parts = [short for word, short in _CC_WORDS if word in kinds]
        return normalize_license("-".join(["CC-BY", *parts, match["version"]]))
    lower = plain.lower()
    return next((license for phrase, license in _TEXTS if phrase in re.sub(r",? version", " version", lower)), None)
