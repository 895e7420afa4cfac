"""A page over members of flows stays within its bytes: what their flows are told counts, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams import codec
from streams.codec import encode_invocation, encode_signal
from streams.engine import apply
from streams.engine.answers import At, PageSizes
from streams.engine.effects import Append, Send, SendAll
from streams.model import (
    ENGINE_VERSION,
    ActMembers,
    CancelFlow,
    CancelPolicy,
    Cause,
    Command,
    ContinueSlice,
    Filter,
    FlowAction,
    Invocation,
    Invoke,
    OnTimeout,
    StartSlice,
    Status,
)
from streams.model import Action as BatchAction
from streams.protocol.routing import routing_key
from streams.state.store import Store
from streams.state.table import Table

MOST = 20_000
SLACK = 6_000
"""One row, the slice or flow, and the delta's own fields."""
ROWS = 300


class Alone:
    """One partition of one, in memory; of each page, how many bytes it wrote."""

    def __init__(self) -> None:
        self.table = Table(Store.open(Path(":memory:"), 0), 0, 1, PageSizes(100_000, 20_000, 100_000, MOST))
        self.log: list[Command] = []
        self.applied = 0
        self.pages: list[int] = []

    def run(self, *commands: Command) -> None:
        """Apply these, and all that follows from them."""
        self.log += commands
        while self.applied < len(self.log):
            self._turn(self.log[self.applied])
            self.applied += 1

    def _turn(self, command: Command) -> None:
        at = At(0, self.applied, 1_000)
        self.table.begin()
        effects = apply(command, at, self.table)
        self.table.absorb(effects, at)
        written = sum(len(key) + len(value or b"") for key, value in self.table.flush() if key != "m/")
        self.table.commit(0, 0)
        for effect in effects:
            match effect:
                case Append(key=key, command=appended):
                    self.log.append(appended)
                    written += 0 if isinstance(appended, ActMembers) else len(key) + len(codec.encode(appended))
                case Send():
                    written += _bytes(effect)
                case SendAll():
                    written += sum(map(_bytes, effect.each()))
                case _:
                    pass
        if isinstance(command, (ContinueSlice, ActMembers)):
            self.pages.append(written)

    def statuses(self) -> set[Status]:
        """Of all rows."""
        rows = (self.table.row(f"i{number}") for number in range(ROWS))
        return {row.status for row in rows if row is not None}


def _bytes(send: Send) -> int:
    fields = send.kind, send.encoded, send.seq, send.attempt, send.repeat, send.at, send.payload, send.cause
    return len(routing_key(send.invocation_id)) + len(encode_signal(*fields))


@pytest.fixture(params=["started", "scheduled"])
def alone(request: pytest.FixtureRequest) -> Alone:
    """Rows of one flow, each the child of another parent with a long id; some of them are parents themselves."""
    alone = Alone()
    for number in range(ROWS):
        parent = f"i{number // 2}" if number % 3 == 0 else f"{number}-" + "ü" * 200
        invocation = Invocation(f"i{number}", "s", "h", None, None, "f" * 200, parent)
        at = None if request.param == "started" else 10**15
        alone.run(Invoke(invocation, at, encoded=encode_invocation(invocation)))
    return alone


@pytest.mark.parametrize("action", [BatchAction.KILL, BatchAction.CANCEL])
def test_a_batch_page_of_members_stays_within_its_bytes(action: BatchAction, alone: Alone) -> None:
    """Each row's end is told to its two flows."""
    cause, filter_ = Cause("b"), Filter(match_all=True)
    alone.run(StartSlice(ENGINE_VERSION, 0, "b", 0, action, filter_, False, 10_000, OnTimeout.KILL, cause))
    assert alone.statuses() <= {Status.KILLED, Status.CANCELLED, Status.CANCELLING}
    assert len(alone.pages) > 3
    assert max(alone.pages) < MOST + SLACK


@pytest.mark.parametrize("action", list(FlowAction))
def test_a_members_page_stays_within_its_bytes(action: FlowAction, alone: Alone) -> None:
    """Likewise where a flow's cancel ends them."""
    alone.run(CancelFlow("f" * 200, action, CancelPolicy.CANCEL_ALL))
    assert alone.statuses() <= {Status.KILLED, Status.CANCELLED, Status.CANCELLING}
    assert len(alone.pages) > 3
    assert max(alone.pages) < MOST + SLACK
