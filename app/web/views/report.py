"""Report: how good a model is, in words, tables and mistakes; also as one file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import HTMLResponse, Response

from app.datasets import service as datasets_service
from app.dependencies import read_catalog
from app.jobs import service as jobs_service
from app.jobs.descriptions.report_summary import format_value, metric_name, summarize
from app.web import rendering, report, static_files
from app.web.view import View
from ml.errors import DataError
from store import datasets, jobs
from store.blobs import blobs
from store.database import reading
from store.errors import NotFound, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from app.datasets.schemas import PreviewRow
    from store.tables import Job

#: Fields of reports that not every task has.
_NOTHING: Final[Mapping[str, Any]] = {"warnings": [], "per_class": [], "training": None, "transfer": None, "rows": None}
#: Tasks whose answers are shown as samples.
GENERATORS: Final = frozenset({"image_generation", "speech_synthesis", "text_generation"})
#: Smallest side in pixels at which an image is shown.
SHOWN_SIDE: Final = 160


def _context(request: Request) -> Mapping[str, Any]:
    job = _job(request)
    document = dict(_NOTHING) | jobs_service.read_report(job)
    task = document.get("task")
    listed = report.mistakes(document)
    lines = report.metric_lines(document, read_catalog().tasks[task].metrics if task else {})
    name = job.model_name or job.spec.get("model") or job.id
    return {
        "title": f"Report on {name}",
        "job_id": job.id,
        "name": name,
        "dataset": job.spec.get("dataset"),
        "report": document,
        "lines": lines,
        "sentence": summarize(document) if lines else None,
        "matrix": report.matrix(document),
        "confusions": report.confusions(document),
        "reliability": report.reliability(document),
        "generates": task in GENERATORS,
        "count_of_mistakes": len(listed),
        "are_surest": any("confidence" in item for item in listed),
        "show": format_value,
        "metric_name": metric_name,
    }


def mistakes_part(request: Request) -> Response:
    """Return the mistakes with their rows, as a part of the page."""
    job = _job(request)
    return HTMLResponse(rendering.render("report/mistakes.html", mistakes=_mistakes(job), show=format_value))


def download(request: Request) -> Response:
    """Return the report as one file that needs no other."""
    job = _job(request)
    style = static_files.files()["page.css"].decode()
    text = rendering.render("report/file.html", **_context(request), mistakes=_mistakes(job), style=style)
    headers = {"Content-Disposition": f'attachment; filename="report-{job.id}.html"', **rendering.HEADERS}
    return HTMLResponse(text, headers=headers)


def _job(request: Request) -> Job:
    with reading() as session:
        return jobs.get(session, request.path_params["job_id"])


def _mistakes(job: Job) -> list[dict[str, Any]]:
    """Return the mistakes of a job with their facts and, if it exists, their row."""
    document = jobs_service.read_report(job)
    listed = report.mistakes(document)
    by_index = _rows(job, document.get("split") or "test", sorted({item["index"] for item in listed}))
    return [_mistake(item, by_index.get(item["index"])) for item in listed]


def _mistake(item: Mapping[str, Any], row: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a mistake as the template shows it."""
    size = (row["width"], row["height"]) if row and row.get("image") else None
    return {
        "index": item["index"],
        "facts": report.facts(item),
        "item": item,
        "row": row,
        "caption": report.box_caption(item),
        "detail": report.detail(item["box"], size) if size and item.get("box") else None,
    }


def _rows(job: Job, split: str, indices: Sequence[int]) -> dict[int, dict[str, Any]]:
    try:
        with reading() as session:
            dataset = datasets.get(session, job.dataset_id or "")
        _, rows = datasets_service.read_rows(dataset, blobs(), split=split, indices=indices)
    except (NotFound, StorageUnavailable, DataError):
        return {}
    return {
        index: {**_to_view(row.input, row.target), "origin": _origin(row)}
        for index, row in zip(indices, rows, strict=False)
    }


def _origin(row: PreviewRow) -> str:
    """Return where in the upload a row was, in words, or nothing."""
    number = f"row {row.row}" if row.row else f"line {row.line}" if row.line else ""
    return ", ".join(part for part in (row.file, number) if part)


def _to_view(values: Mapping[str, Any], target: Any) -> dict[str, Any]:
    """Return a row as the template shows it: its media, texts and true boxes."""
    row: dict[str, Any] = {"texts": [], "image": None, "audio": None, "boxes": []}
    for name, value in values.items():
        if name in ("image", "audio"):
            row[name] = value
        elif isinstance(value, str):
            row["texts"].append(value)
    if row["image"]:
        row |= _image_size(row["image"])
    if isinstance(target, dict):
        row["boxes"] = target.get("objects", [])
    return row


def _image_size(encoded: str) -> dict[str, int]:
    from base64 import b64decode

    from PIL import Image

    with Image.open(io.BytesIO(b64decode(encoded))) as image:
        width, height = image.size
    scale = max(1, -(-SHOWN_SIDE // max(width, height)))
    return {"width": width, "height": height, "shown_width": width * scale, "shown_height": height * scale}


VIEW = View(
    title="Report",
    path="/jobs/{job_id}/report",
    parent="/jobs",
    context=_context,
    routes={"/jobs/{job_id}/report/mistakes": mistakes_part, "/jobs/{job_id}/report.html": download},
)
