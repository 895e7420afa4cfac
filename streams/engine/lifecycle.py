"""The tables of the protocol: which command finds which status, and what follows."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from streams.model import Action, Status
from streams.rules import TERMINAL

if TYPE_CHECKING:
    from streams.model import Row

UNSTARTED: Final = frozenset({Status.SCHEDULED, Status.PENDING})
STARTED: Final = frozenset(
    {Status.READY, Status.RUNNING, Status.SUSPENDED, Status.BACKING_OFF, Status.CANCELLING},
)
"""Statuses that an executor may know of; PAUSED is as where it was paused from."""

DEFAULT_GRACE_MS: Final = 30_000
FIRST_REPEAT_MS: Final = 5_000
"""After this long an unanswered CANCEL signal is sent again; then after twice as long, and so on."""


class Verdict(Enum):
    """What an action does to a row."""

    SKIP = "nothing to do"
    END = "ended at once; no executor ever saw it"
    STOP = "ended at once, with a signal to its executor"
    ASK = "its executor is asked to end it"


_ONGOING = (Status.READY, Status.RUNNING, Status.SUSPENDED, Status.BACKING_OFF)

VERDICTS: Final[dict[Action, dict[Status, Verdict]]] = {
    Action.KILL: {
        **dict.fromkeys(UNSTARTED, Verdict.END),
        **dict.fromkeys(_ONGOING, Verdict.STOP),
        Status.CANCELLING: Verdict.STOP,
        **dict.fromkeys(TERMINAL, Verdict.SKIP),
    },
    Action.CANCEL: {
        **dict.fromkeys(UNSTARTED, Verdict.END),
        **dict.fromkeys(_ONGOING, Verdict.ASK),
        Status.CANCELLING: Verdict.SKIP,
        **dict.fromkeys(TERMINAL, Verdict.SKIP),
    },
}
"""What each action does to a row that stands at a status."""

ENDED_BY: Final = {Action.KILL: Status.KILLED, Action.CANCEL: Status.CANCELLED}
"""The status of a row that an action ended at once."""

_LIVE = frozenset({Status.READY, Status.RUNNING, Status.SUSPENDED})

REPORTS: Final[dict[Status, frozenset[Status]]] = {
    Status.RUNNING: _LIVE,
    Status.SUSPENDED: _LIVE,
    Status.BACKING_OFF: _LIVE,
    Status.COMPLETED: STARTED,
    Status.FAILED: STARTED,
    Status.CANCELLED: STARTED,
}
"""From which statuses a row follows a report; a status that is no key is never reported."""


def stands_at(row: Row) -> Status:
    """Where the row stands; a paused one where it was paused from."""
    return row.paused_from or row.status


def verdict(action: Action, row: Row) -> Verdict:
    """What `action` (KILL or CANCEL) does to `row`."""
    return VERDICTS[action][stands_at(row)]


def follows(row: Row, to: Status) -> bool:
    """Whether `row` can go where its executor reports it; a paused one can only end."""
    allowed = REPORTS.get(to)
    if allowed is None:
        return False
    if row.paused_from is None:
        return row.status in allowed
    return to in TERMINAL and row.paused_from in allowed


def next_repeat(now: int, repeat: int, grace_until: int) -> int:
    """When a CANCEL signal sent at `now` for the `repeat`-th time has gone unanswered for too long."""
    return min(now + (FIRST_REPEAT_MS << repeat), grace_until)
