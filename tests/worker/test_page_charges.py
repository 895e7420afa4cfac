"""A page is charged for everything that it causes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streams.model import (
    ActMembers,
    CancelPolicy,
    Cause,
    ContinueFlow,
    ContinueSlice,
    FlowAction,
    OnTimeout,
    ReleaseHeld,
    Tick,
)
from streams.worker import turn as turns
from streams.worker.turn import Turn


@pytest.mark.parametrize(
    "command",
    [
        ContinueSlice(1, 0, "b", 1, 10, 10),
        ReleaseHeld(1, 0, 1, -1, 10),
        Tick(1, 0, 1, 0, 0, 0, reconcile_interval_ms=1, max_rows=10),
        ContinueFlow(1, 0, "f", False, 1, 40, 10),
        ActMembers(
            *(1, 0, "f", False, FlowAction.KILL, CancelPolicy.CANCEL_ALL, 0, OnTimeout.KILL, Cause()),
            tuple(range(40)),
            10,
        ),
    ],
    ids=lambda command: type(command).__name__,
)
def test_every_page_is_charged_for_what_it_writes(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that a page of any kind changes are written before its time is read."""
    happened: list[str] = []

    class Watch:
        def ms(self) -> float:
            happened.append("time is read")
            return 7

    def applied(*_: object) -> int:
        happened.append("page")
        return 0

    page = SimpleNamespace(looks=1, started=(), unstarted={})
    table = SimpleNamespace(write=lambda: happened.append("rows are written"), last_page=page, slice=lambda _: None)
    monkeypatch.setattr(turns, "Stopwatch", Watch)
    monkeypatch.setattr(Turn, "_apply", applied)
    turn = Turn.__new__(Turn)
    turn.pages, turn.other_pages, turn._asked = [], [], 0
    task: Any = SimpleNamespace(running_table=table, tick_outstanding=None, partition=0)
    item: Any = SimpleNamespace(command=command)
    turn._do_page(task, item, 0)
    assert happened == ["rows are written", "page", "rows are written", "time is read"]
    assert [page.took_ms for page in turn.pages] + [other.took_ms for other in turn.other_pages] == [7]
