"""The tables of the protocol: the outcome of each command, by the status it finds."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from streams.model import STARTED, TERMINAL, UNSTARTED, Action, Status

if TYPE_CHECKING:
    from streams.model import Row

DEFAULT_GRACE_MS: Final = 30_000
FIRST_REPEAT_MS: Final = 5_000
"""Time until an unanswered CANCEL signal is first repeated, ms; it doubles with each repeat."""


class Verdict(Enum):
    """The outcome of an action on one row."""

    SKIP = "nothing to do"
    END = "ended at once; no executor ever saw it"
    STOP = "ended at once, with a signal to its executor"
    ASK = "its executor is asked to end it"
    SHELVE = "paused; no executor ever saw it"
    HALT = "paused, with a signal to its executor"
    GO_ON = "as an arrival if it was never started, by its next attempt if it was"
    REMOVE = "forgotten, with its payload"
    LIVE_AGAIN = "as an arrival at its old place, with its next attempt"


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
    Action.PAUSE: {
        **dict.fromkeys(Status, Verdict.SKIP),
        **dict.fromkeys(UNSTARTED, Verdict.SHELVE),
        **dict.fromkeys(_ONGOING, Verdict.HALT),
    },
    Action.RESUME: {**dict.fromkeys(Status, Verdict.SKIP), Status.PAUSED: Verdict.GO_ON},
    Action.PURGE: {**dict.fromkeys(Status, Verdict.SKIP), **dict.fromkeys(TERMINAL, Verdict.REMOVE)},
    Action.RESTART: {**dict.fromkeys(Status, Verdict.SKIP), **dict.fromkeys(TERMINAL, Verdict.LIVE_AGAIN)},
}
"""The outcome of each action, by the row's status. Without a PAUSED entry, the status a row was paused from counts."""

ENDED_BY: Final = {Action.KILL: Status.KILLED, Action.CANCEL: Status.CANCELLED}
"""The status of a row that an action ended at once."""

_REPORTABLE = frozenset({Status.READY, Status.RUNNING, Status.SUSPENDED})

REPORTS: Final[dict[Status, frozenset[Status]]] = {
    Status.RUNNING: _REPORTABLE,
    Status.SUSPENDED: _REPORTABLE,
    Status.BACKING_OFF: _REPORTABLE,
    Status.COMPLETED: STARTED,
    Status.FAILED: STARTED,
    Status.CANCELLED: STARTED,
}
"""The statuses from which a report moves a row. A status without an entry cannot be reported."""


def stands_at(row: Row) -> Status:
    """The row's status; of a paused row the status it was paused from."""
    return row.paused_from or row.status


def verdict(action: Action, row: Row) -> Verdict:
    """The outcome of `action` on `row`."""
    if action is Action.CANCEL and row.status is Status.CANCELLING and row.due_at is None:
        # Its grace has ended with LEAVE, and nothing more would be done.
        return Verdict.ASK
    if row.adopted and action is Action.RESTART:
        # It ran elsewhere, and nothing here can start it.
        return Verdict.SKIP
    by_status = VERDICTS[action]
    return by_status[row.status if row.status in by_status else stands_at(row)]


def follows(row: Row, to: Status) -> bool:
    """True if `row` can move to the reported status. A paused row can only end."""
    allowed = REPORTS.get(to)
    if allowed is None:
        return False
    if row.paused_from is None:
        return row.status in allowed
    return to in TERMINAL and row.paused_from in allowed


def next_repeat(now: int, repeat: int, grace_until: int) -> int:
    """When to act on a CANCEL signal, sent at `now` for the `repeat`-th time, that is still unanswered."""
    return min(now + (FIRST_REPEAT_MS << repeat), grace_until)
