"""Check of a sweep before a worker runs it, without torch and without Optuna."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from ml.errors import Finding, shorten, unknown
from ml.schedule import Schedule
from ml.search.schema import SearchRange
from ml.search.space import SEARCHABLE, apply_parameters
from ml.spec.check import check, check_choice
from ml.spec.requirements import Requirements
from ml.spec.schema import Finetune

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml.data.dataset import DatasetSummary
    from ml.package.manifest import Manifest
    from ml.search.schema import Sweep
    from ml.spec.catalog import Catalog
    from ml.spec.requirements import BaseManifests

#: Position in a range of a value that is no whole number where `low` and `high` are.
BETWEEN: Final = 0.381966


def check_sweep(
    sweep: Sweep,
    catalog: Catalog,
    dataset: DatasetSummary | None = None,
    base: BaseManifests = None,
    models: Mapping[str, Manifest] | None = None,
) -> list[Finding]:
    """Return every fault of a sweep; the arguments are those of `ml.spec.check.check` for its job.

    Every value of a list, and both ends of a range, must make a valid job.
    """
    findings = [*check_choice("strategy", sweep.strategy, catalog.strategies, path="strategy")]
    in_job = check(sweep.job, catalog, dataset, base, models)
    findings += [replace(finding, path=f"job.{finding.path}" if finding.path else "job") for finding in in_job]
    if in_job:
        return findings
    requirements = Requirements.of(sweep.job, catalog, dataset)
    if sweep.metric is not None and requirements is not None and sweep.metric not in metrics_of(requirements):
        findings.append(
            unknown("metric of the validation split", sweep.metric, metrics_of(requirements), path="metric")
        )
    if sweep.space != "auto":
        check_job = _JobCheck(sweep.job, catalog, dataset, base, models)
        for path, dimension in sweep.space.items():
            findings += check_job.findings(path, dimension)
    return findings


def metrics_of(requirements: Requirements) -> list[str]:
    """Return the metrics of the validation split by which trials can be judged."""
    return ["validation/loss", *(f"validation/{name}" for name in requirements.scores)]


class _JobCheck:
    """Checks values of dimensions in a job that has no fault of its own."""

    def __init__(
        self,
        job: Finetune,
        catalog: Catalog,
        dataset: DatasetSummary | None,
        base: BaseManifests,
        models: Mapping[str, Manifest] | None,
    ) -> None:
        self._job = job.model_dump(mode="json", exclude_unset=True)
        self._arguments = (catalog, dataset, base, models)

    def findings(self, path: str, dimension: SearchRange | list[Any]) -> Iterator[Finding]:
        field, _, option = path.partition(".")
        if field == "schedule" and option not in Schedule.model_fields and "." not in option:
            yield unknown("setting of the schedule", option, Schedule.model_fields, path=f"space.{path}")
            return
        if field not in SEARCHABLE:
            yield unknown("setting to search for", field, SEARCHABLE, path=f"space.{path}")
            return
        if isinstance(dimension, list):
            if len({json.dumps(value, sort_keys=True) for value in dimension}) < len(dimension):
                yield Finding(code="conflict", message="a value is listed twice; list it once", path=f"space.{path}")
            for value in dimension:
                yield from self._check_value(path, value)
            return
        ends = [*self._check_value(path, dimension.low), *self._check_value(path, dimension.high)]
        yield from ends
        if not ends and not isinstance(dimension.low, int) and not self.accepts_fractions(path, dimension):
            message = f"{path} needs whole numbers; the range is from {dimension.low} to {dimension.high}"
            hint = f'Write {{"low": {int(dimension.low)}, "high": {int(dimension.high)}}}.'
            yield Finding(code="invalid_option", message=message, path=f"space.{path}", hint=hint)

    def accepts_fractions(self, path: str, dimension: SearchRange) -> bool:
        """Return whether a setting may be a number between two whole ones."""
        between = dimension.low + BETWEEN * (dimension.high - dimension.low)
        return not list(self._check_value(path, between))

    def _check_value(self, path: str, value: Any) -> Iterator[Finding]:
        place, text = f"space.{path}", shorten(value)
        try:
            job = Finetune.model_validate(apply_parameters(self._job, {path: value}))
        except ValidationError as error:
            message = f"{path} cannot be {text}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
            yield Finding(code="invalid_option", message=message, path=place, found=text)
        except LookupError as error:
            yield Finding(code="invalid_option", message=f"{path} cannot be set: {error}", path=place)
        else:
            for finding in check(job, *self._arguments):
                yield replace(finding, message=f"with {path} = {text}: {finding.message}", path=place, found=text)


def accepts_fractions(sweep: Sweep, path: str, dimension: SearchRange, catalog: Catalog) -> bool:
    """Return whether a setting of a valid sweep may be a fraction."""
    return _JobCheck(sweep.job, catalog, None, None, None).accepts_fractions(path, dimension)
