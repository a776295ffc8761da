"""Lines of orders in one table, and the customers of the orders in another.

So Instacart is published, and so most shops export what was bought.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ml.data.files.text import detect_encoding, open_lines
from ml.data.formats.behavior._log_columns import find_fields, normalize_name
from ml.data.issues import DataRejected, IssueLog, Location
from ml.data.tables.dialects import detect_dialect
from ml.data.tables.records import read_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml.data.files.upload import UploadedFile
    from ml.data.importing.corpora.base import CorpusFiles

#: Names of the column that both tables have.
_ORDER_NAMES: Final = ("orderid", "invoiceid", "invoiceno", "basketid", "cartid", "transactionid", "receiptid")
#: Names of the number of an order among those of a customer, which stands for a time.
_RANK_NAMES: Final = ("ordernumber", "orderrank", "ordersequence")


class _Table(NamedTuple):
    """A table with an order in each row."""

    source: UploadedFile
    names: list[str]
    order: int
    fields: Mapping[str, int]

    def rows(self, upload: CorpusFiles) -> Iterator[list[str]]:
        """Yield the rows that have as many cells as the first."""
        records = itertools.islice(_records(self.source, upload), 1, None)
        return (cells for cells in records if len(cells) == len(self.names))


def read(upload: CorpusFiles) -> None:
    """Replace such tables by a log of customer, item and time."""
    if len(upload.sources) < 2 or any(source.content not in ("text", "json", "parquet") for source in upload.sources):
        return
    tables = [table for source in upload.sources if (table := _describe(source, upload)) is not None]
    orders = [table for table in tables if "user" in table.fields and "item" not in table.fields]
    baskets = [table for table in tables if "item" in table.fields and "user" not in table.fields]
    if len(orders) != 1 or not baskets:
        return
    customers = _read_customers(orders[0], upload)
    upload.remove([table.source.name for table in (*orders, *baskets)])
    for table in baskets:
        upload.add_rows(table.source.name, _rows(table, customers, upload))
        joined = f"{orders[0].source.name}, by {orders[0].names[orders[0].order]}"
        upload.issues.add("orders_joined", at=Location(file=table.source.name), actual=joined)


def _records(source: UploadedFile, upload: CorpusFiles) -> Iterator[list[str]]:
    encoding = detect_encoding(source, IssueLog(max_samples=0), upload.limits)
    lines = partial(open_lines, source, encoding, upload.limits)
    dialect = detect_dialect(lines).dialect
    return (record.cells for record in read_records(lines(), dialect))


def _describe(source: UploadedFile, upload: CorpusFiles) -> _Table | None:
    """Return a table with a column of orders; None for another file."""
    start = b"".join(source.text_starts.values()) if source.content == "text" else b""
    if not any(name in normalize_name(start.partition(b"\n")[0].decode("utf-8", "replace")) for name in _ORDER_NAMES):
        return None
    try:
        names = next(_records(source, upload), [])
    except DataRejected:
        return None
    plain = [normalize_name(name) for name in names]
    order = next((plain.index(name) for name in _ORDER_NAMES if name in plain), None)
    fields: dict[str, int] = find_fields(names)
    rank = next((plain.index(name) for name in _RANK_NAMES if name in plain), None)
    if "timestamp" not in fields and rank is not None:
        fields["timestamp"] = rank
    return None if order is None else _Table(source, names, order, fields)


def _read_customers(table: _Table, upload: CorpusFiles) -> dict[str, tuple[str, str | None]]:
    """Return the customer and the time of each order."""
    user, time = table.fields["user"], table.fields.get("timestamp")
    return {row[table.order]: (row[user], None if time is None else row[time]) for row in table.rows(upload)}


def _rows(
    table: _Table, customers: Mapping[str, tuple[str, str | None]], upload: CorpusFiles
) -> Iterator[dict[str, Any]]:
    unknown_orders: set[str] = set()
    for row in table.rows(upload):
        if row[table.order] not in customers:
            unknown_orders.add(row[table.order])
            continue
        customer, time = customers[row[table.order]]
        yield {"user": customer, "item": row[table.fields["item"]], **({} if time is None else {"timestamp": time})}
    if unknown_orders:
        at = Location(file=table.source.name, column=table.names[table.order])
        upload.issues.add("orders_unknown", at=at, actual=min(unknown_orders), count=len(unknown_orders))
