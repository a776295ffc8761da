"""Questions about paragraphs in one JSON document, as SQuAD is published.

https://rajpurkar.github.io/SQuAD-explorer/.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.parquet import DAMAGE, open_parquet
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.files.upload import UploadedFile
    from ml.data.importing.corpora.base import CorpusFiles

_MARKS: Final = (b'"paragraphs"', b'"qas"')
#: A document is held in memory as a whole.
_MAX_DOCUMENT_BYTES: Final = 512 << 20


def read(upload: CorpusFiles) -> None:
    """Replace such documents by a row per question, with its first answer."""
    for position, source in enumerate(upload.sources):
        if source.content not in ("json", "parquet") or source.path.stat().st_size > _MAX_DOCUMENT_BYTES:
            continue
        try:
            rows = _read_parquet(source, upload) if source.content == "parquet" else _read_document(source, upload)
        except (DataRejected, TypeError, RecursionError, *DAMAGE):
            continue  # reported by the format that reads it
        answered = [row for row in rows if row["answer"]]
        if not answered:
            continue
        upload.add_rows(source.name, answered)
        upload.sources[position] = replace(upload.sources.pop(), requested_split=source.requested_split)
        if len(answered) < len(rows):
            at = Location(file=source.name)
            upload.issues.add("questions_without_answer", at=at, count=len(rows) - len(answered))


def _read_document(source: UploadedFile, upload: CorpusFiles) -> list[dict[str, str]]:
    start = b"".join(source.text_starts.values())
    if not all(mark in start for mark in _MARKS):
        return []
    with source.open(upload.limits) as file:
        return list(_rows(json.loads(file.read())["data"]))


def _read_parquet(source: UploadedFile, upload: CorpusFiles) -> list[dict[str, str]]:
    """Return the rows of Hugging Face's tables, where answers are an object of lists."""
    with open_parquet(source, upload.limits) as file:
        if not {"context", "question", "answers"} <= set(file.schema_arrow.names):
            return []
        batches = file.iter_batches(columns=["context", "question", "answers"], use_threads=False)
        rows = [row for batch in batches for row in batch.to_pylist()]
    return [
        {
            "context": row["context"],
            "question": row["question"],
            "answer": next(iter(row["answers"]["text"]), ""),
            "document_id": row["context"],
        }
        for row in rows
    ]


def _rows(articles: Any) -> Iterator[dict[str, str]]:
    for article in articles:
        for number, paragraph in enumerate(article["paragraphs"]):
            for question in paragraph["qas"]:
                answers = [] if question.get("is_impossible") else question.get("answers") or []
                yield {
                    "context": paragraph["context"],
                    "question": question["question"],
                    "answer": answers[0]["text"] if answers else "",
                    "document_id": f"{article.get('title', '')} {number}",
                }
