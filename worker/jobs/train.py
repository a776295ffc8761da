"""`python -m worker.jobs.train JOB FENCE`: train a model from a spec."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.data.dataset import Dataset
from ml.errors import SpecError
from ml.learning.training.run_folder import RunFolder
from ml.package.manifest import MANIFEST, parse_manifest
from ml.spec.catalog import Catalog
from ml.spec.check import check
from ml.spec.resolve import resolve
from ml.spec.schema import parse_stored_spec, references, split_references
from store import jobs, models
from store.blobs import blobs
from store.database import reading
from store.disk.encoded_rows import ENCODED_ROWS
from store.errors import NotFound, StaleClaim
from store.settings import store_settings
from worker.control_channel import FINISH, LEAVE, ChildEnd
from worker.jobs import entrypoint
from worker.jobs.progress import ProgressReporter
from worker.jobs.registration import register
from worker.jobs.trial import PRUNED, TrialPruned, TrialWatch
from worker.retry import retrying_transaction
from worker.settings import worker_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from ml.learning.training.progress import Progress, Stop
    from ml.package.manifest import Manifest
    from ml.spec.schema import Spec
    from store.jobs import Claim

log = logging.getLogger(__name__)


def run_training(claim: Claim, folder: Path, channel: ChildEnd) -> None:
    """Train from the last checkpoint, and register the model.

    A trial of a sweep registers none; it ends with its report on the validation split.
    """
    reporter = make_reporter(claim)
    reporter.log("starting")
    inputs = fetch_inputs(claim.spec, str(claim.dataset_id), folder)
    spec = _complete_spec(inputs, claim)
    fetch_checkpoints(claim.job_id, folder)
    if claim.parent_id is not None:
        run_trial(claim, spec, inputs, folder, channel, reporter)
        return
    result = run_trainer(spec, inputs, folder, channel, reporter)
    reporter.enter_phase("registering")
    register(result.package, claim, parent_id=inputs.parent_id, report=result.report, reason=result.reason)


def run_trial(
    claim: Claim, spec: Spec, inputs: TrainingInputs, folder: Path, channel: ChildEnd, reporter: ProgressReporter
) -> None:
    """Train a trial, end it early if it is weak, and record its validation."""
    watch = TrialWatch.of(claim, reporter, spec)
    try:
        report = run_trainer(spec, inputs, folder, channel, reporter, on_progress=watch, is_trial=True)
    except TrialPruned:
        retrying_transaction(lambda session: jobs.succeed(session, claim, reason=PRUNED))
        return
    report["metrics"] = watch.final_metrics(report["training"])
    reason = report["training"]["reason"]
    retrying_transaction(lambda session: jobs.succeed(session, claim, report=report, reason=reason))


def make_reporter(claim: Claim) -> ProgressReporter:
    """Make the reporter of a run, which adds to the CPU time of earlier runs."""
    with reading() as session:
        progress = jobs.get(session, claim.job_id).progress or {}
    return ProgressReporter(claim, blobs(), earlier_cpu_seconds=progress.get("cpu_seconds") or 0.0)


def run_trainer(
    spec: Spec,
    inputs: TrainingInputs,
    folder: Path,
    channel: ChildEnd,
    reporter: ProgressReporter,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    is_trial: bool = False,
    can_finish: bool = True,
) -> Any:
    """Train on the device of this worker, from the last checkpoint if there is one.

    Returns a `TrainingResult`, of a trial the report alone. Progress goes to `reporter`, or to `on_progress`. Without
    `can_finish`, no request to stop ends the training.
    """
    try:
        # Importing torch takes seconds: only now, as the control channel works and all files are there.
        from ml.learning.pipeline.train import train, train_trial

        with _lock_devices(spec, channel, reporter) as devices:
            return (train_trial if is_trial else train)(
                spec,
                inputs.dataset,
                folder,
                start_from=inputs.bases,
                models=inputs.named,
                devices=devices,
                threads=_choose_threads(reporter, devices),
                cache=store_settings().home / ENCODED_ROWS,
                on_progress=on_progress or reporter,
                should_stop=_stop_requests(channel, can_finish=can_finish),
            )
    finally:
        # The events that led to a failure are worth reading, too.
        with suppress(StaleClaim):
            reporter.write()


def _choose_threads(reporter: ProgressReporter, devices: Sequence[str]) -> int:
    """Return the number of threads of each process, and log it with the reason."""
    threads = worker_settings().choose_threads()
    ranks = len(devices)
    count = max(1, threads.count // ranks) if devices[0] == "cpu" else threads.count
    place = "" if ranks == 1 else f" in each of {ranks} processes, on {', '.join(sorted(set(devices)))}"
    reporter.log(f"computing with {count} {'thread' if count == 1 else 'threads'}{place}: {threads.reason}")
    return count


def _lock_devices(spec: Spec, channel: ChildEnd, reporter: ProgressReporter) -> AbstractContextManager[list[str]]:
    from worker.jobs import gpu_lock
    from worker.jobs.device_probe import choose_count

    settings = worker_settings()
    return gpu_lock.gpu_locks(
        settings.device,
        choose_count(spec.devices, settings),
        locks=store_settings().home / "locks",
        on_wait=reporter.log,
        should_leave=lambda: channel.request == LEAVE,
    )


def _stop_requests(channel: ChildEnd, *, can_finish: bool) -> Callable[[], Stop | None]:
    from ml.learning.training.progress import Stop

    stops = {LEAVE: Stop.LEAVE, **({FINISH: Stop.FINISH} if can_finish else {})}
    return lambda: stops.get(channel.request) if channel.request else None


@dataclass(frozen=True, slots=True)
class TrainingInputs:
    """Everything that a training reads, fetched to local folders."""

    spec: Spec
    dataset: Path
    #: Id of the base model for the lineage: the first, if training starts from several.
    parent_id: str | None
    #: Package or packages to start from.
    bases: Path | dict[str, Path] | None
    #: Packages that options name, by the path of the option.
    named: Mapping[str, Path]


def fetch_inputs(content: Mapping[str, Any], dataset_id: str, folder: Path) -> TrainingInputs:
    """Fetch the dataset and the models of a stored spec."""
    spec = parse_stored_spec(content)
    dataset = blobs().fetch_tree(f"datasets/{dataset_id}", folder / "dataset")
    return TrainingInputs(spec, dataset, *_fetch_models(spec, folder))


def _complete_spec(inputs: TrainingInputs, claim: Claim) -> Spec:
    """Check and complete a spec that was submitted without a check.

    It is that of a trial, or older than its dataset. Raises `SpecError` with every fault.
    """
    with reading() as session:
        if claim.parent_id is None and not jobs.waited_for_dataset(session, claim):
            return inputs.spec
    catalog = Catalog.load()
    summary = Dataset.open(inputs.dataset).summary
    base = _read_manifests(inputs.bases)
    models_by_path = {path: _read_manifest(package) for path, package in inputs.named.items()}
    if findings := check(inputs.spec, catalog, summary, base, models_by_path):
        raise SpecError.of(findings)
    completed = resolve(inputs.spec, catalog, dataset=summary, base=base)
    content = completed.model_dump(mode="json", exclude_none=True)
    retrying_transaction(lambda session: jobs.save_spec(session, claim, content))
    return completed


def _read_manifests(packages: Path | dict[str, Path] | None) -> Manifest | dict[str, Manifest] | None:
    if isinstance(packages, dict):
        return {slot: _read_manifest(package) for slot, package in packages.items()}
    return _read_manifest(packages) if packages else None


def _read_manifest(package: Path) -> Manifest:
    return parse_manifest((package / MANIFEST).read_bytes())


def fetch_checkpoints(job_id: str, folder: Path) -> None:
    """Link the checkpoints of earlier runs of a job to where the trainer looks.

    It resumes from the newest intact one.
    """
    fetched = RunFolder(folder).fetched_checkpoints
    fetched.mkdir()
    with reading() as session:
        keys = [row.key for row in jobs.checkpoints(session, job_id)]
    for number, key in enumerate(keys):
        try:
            checkpoint = blobs().fetch_tree(key, folder / "fetched" / str(number))
        except NotFound:
            log.warning("the checkpoint %s does not exist any more", key)
        else:
            (fetched / str(number)).symlink_to(checkpoint)


def _fetch_models(spec: Spec, folder: Path) -> tuple[str | None, Path | dict[str, Path] | None, dict[str, Path]]:
    """Fetch the models of a spec, as the last fields of `TrainingInputs`."""
    ids: dict[str, str] = {}
    packages: dict[str, Path] = {}
    for number, (path, reference) in enumerate(references(spec, Catalog.load()).items()):
        with reading() as session:
            model = models.version(session, reference)
        ids[path], packages[path] = model.id, blobs().fetch_tree(model.key, folder / "models" / str(number))
    bases, named = split_references(packages)
    return next((ids[path] for path in ids if path not in named), None), bases, named


if __name__ == "__main__":
    entrypoint.exit_now(entrypoint.main(run_training))
