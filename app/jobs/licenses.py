"""Refusal of licenses that exclude commercial use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.errors import Finding

if TYPE_CHECKING:
    from app.jobs.schemas import License


def check_license(license: License, *, path: str) -> list[Finding]:
    """Return why training on a part is refused; empty if its license allows commercial use."""
    if not license.noncommercial:
        return []
    return [
        Finding(
            code="noncommercial_license",
            path=path,
            message=f"{license.kind} {license.reference} has the license {license.license}, which excludes commercial "
            "use",
            found=license.license,
            expected="a license that allows commercial use",
            hint="Train on other data or from another model; or allow it, by `allow_noncommercial` of the job and "
            "PLINTH_ALLOW_NONCOMMERCIAL of the service.",
        )
    ]
