"""Conversations in the texts of a table: a row per turn of the assistant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.data.formats._chat_markup import ChatMarkup, ChatTurn, find_chat_markup, find_prompt_markup
from ml.data.formats._chat_turns import find_answers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.formats.base import Batch
    from ml.data.issues import IssueLog
    from ml.data.tables.layout import Layout


@dataclass(frozen=True, slots=True)
class ChatTexts:
    """Conversations of one table: whole texts, or prompts with answers."""

    markup: ChatMarkup
    is_in_prompt: bool

    @classmethod
    def find(
        cls, layout: Layout, samples: Sequence[Sequence[Any]], required: Mapping[str, str] | None
    ) -> ChatTexts | None:
        """Return the conversations of a layout; None without any, or for other tasks.

        `samples` are the first cells of each column.
        """
        is_prompted = layout.columns.keys() == {"prompt", "text"}
        if not (is_prompted or layout.columns.keys() == {"text"}) or not samples or layout.joined:
            return None
        if required is not None and required.keys() != {"text"}:
            return None
        cells = samples[layout.columns["prompt" if is_prompted else "text"]]
        texts = [cell for cell in cells if isinstance(cell, str)]
        markup = find_prompt_markup(texts) if is_prompted else find_chat_markup(texts)
        return cls(markup, is_prompted) if markup else None

    def divide(self, batch: Batch, issues: IssueLog) -> Batch:
        """Return a row per answer of the assistant.

        The turns before it are its prompt.
        """
        rows: list[int] = []
        prompts: list[str] = []
        texts: list[str] = []
        for row, text in enumerate(batch.columns["text"]):
            turns = self._turns(batch, row, text)
            at = batch.locations.at(row)
            if not turns:
                issues.add("conversation_without_answer", at=at, actual=f"no turns in {self.markup.name}", rows=1)
                continue
            for prompt, answer in find_answers(turns, at, issues):
                rows.append(row)
                prompts.append(prompt)
                texts.append(answer)
        return replace(_repeat(batch, rows), columns={"prompt": prompts, "text": texts})

    def _turns(self, batch: Batch, row: int, text: str) -> Sequence[ChatTurn]:
        if not self.is_in_prompt:
            return self.markup.parse(text)
        return [*self.markup.parse(batch.columns["prompt"][row]), ChatTurn("assistant", text)]


def _repeat(batch: Batch, rows: Sequence[int]) -> Batch:
    """Return a batch of the rows at `rows`, which may repeat.

    What comes from one row stays together.
    """
    indices = np.array(rows, dtype=np.int64)
    locations = replace(
        batch.locations,
        files=batch.locations.files
        if isinstance(batch.locations.files, str)
        else [batch.locations.files[row] for row in rows],
        rows=batch.locations.rows_at(indices),
        lines=batch.locations.lines_at(indices),
    )
    subjects = None if batch.subjects is None else [batch.subjects[row] for row in rows]
    unread = {name: [cells[row] for row in rows] for name, cells in (batch.unread or {}).items()}
    numbers = locations.rows
    return replace(
        batch,
        locations=locations,
        subjects=subjects,
        unread=unread,
        groups=None if numbers is None else [int(number) for number in numbers],
    )
