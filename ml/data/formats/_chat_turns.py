"""Turns of a conversation that a model learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ml.data.conversations import Speech, format_prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.issues import IssueLog, Location


class LearnableSpeech(Speech, Protocol):
    """One turn, with a mark whether it is learned."""

    @property
    def is_learned(self) -> bool:
        """True if the model learns it."""


def find_answers(turns: Sequence[LearnableSpeech], at: Location, issues: IssueLog) -> list[tuple[str, str]]:
    """Return prompt and text of each turn to learn.

    What is left out becomes an issue.
    """
    if turns[0].role == "assistant" and turns[0].is_learned:
        issues.add("turns_not_learned", at=at, actual="the assistant begins")
    if turns[-1].role != "assistant":
        issues.add("turns_not_learned", at=at, actual=f"{turns[-1].role} ends")
    answers = [index for index, turn in enumerate(turns) if turn.is_learned and index]
    if not answers:
        issues.add("conversation_without_answer", at=at, actual=", ".join(turn.role for turn in turns), rows=1)
    return [(format_prompt(turns[:index]), turns[index].content.strip()) for index in answers]
