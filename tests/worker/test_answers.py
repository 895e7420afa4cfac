"""Answers that a batch waits for: its pages are charged for them, and they are nobody's waiting."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from streams.model import (
    Action,
    CancelFlow,
    CancelPolicy,
    Filter,
    FlowAction,
    Invocation,
    Invoke,
    ReportTransition,
    StartBatch,
    Status,
)
from streams.worker.page_sizes import ANSWER_COST, SIGNAL_COST, Budget, Measured, TunedSizes
from support.service.worker_world import World, invocations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ROWS = 40


@pytest.fixture
def came(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many reports and answers have come."""
    found: Counter[str] = Counter()

    class Spy(Budget):
        def came(self, records: Mapping[type, int], commands_ms: float, now_s: float, answers: int = 0) -> None:
            found["reports"] += records.get(ReportTransition, 0)
            found["answers"] += answers
            super().came(records, commands_ms, now_s, answers)

    monkeypatch.setattr("streams.worker.worker.Budget", Spy)
    return found


def test_a_turn_tells_answers_from_what_people_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, came: Counter[str]
) -> None:
    """Each answer to a batch, by a row that was cancelled or ended otherwise; other reports are an executor's own."""
    costs: dict[str, set[float]] = {}

    def learn(self: TunedSizes, pages: Sequence[Measured], others: Any, budget_ms: float, usual: int | None) -> None:
        for page in pages:
            costs.setdefault(page.batch_id, set()).add(page.cost)
        known(self, pages, others, budget_ms, usual)

    known = TunedSizes.learn
    monkeypatch.setattr(TunedSizes, "learn", learn)
    with closing(World(tmp_path)) as world:
        names = [f"i-{number}" for number in range(ROWS)]
        world.invoke(*invocations(range(ROWS)))
        reports = {name: ReportTransition(name, 1, None, 1, Status.RUNNING) for name in names}
        for name, report in reports.items():
            world.send(report, key=name)
        world.run_until_idle()
        assert came == {"reports": ROWS, "answers": 0}
        cancel = StartBatch("cancel", Action.CANCEL, Filter(match_all=True), grace_ms=600_000)
        world.send(cancel, key="cancel")
        world.run_until_idle()
        assert costs == {"cancel": {ANSWER_COST}}
        for number, (name, report) in enumerate(reports.items()):
            to = Status.CANCELLED if number % 2 else Status.COMPLETED
            world.send(replace(report, report_no=2, to=to), key=name)
        world.run_until_idle()
        assert Counter(world.statuses().values()) == {"CANCELLED": ROWS // 2, "COMPLETED": ROWS // 2}
        assert came == {"reports": 2 * ROWS, "answers": ROWS}
        world.invoke(*invocations(range(ROWS), "later"))
        world.send(StartBatch("kill", Action.KILL, Filter(match_all=True)), key="kill")
        world.run_until_idle()
        assert costs["kill"] == {SIGNAL_COST}


def test_nobody_waits_for_the_answers_to_a_flows_cancel(tmp_path: Path, came: Counter[str]) -> None:
    """They are as many as its members."""
    with closing(World(tmp_path)) as world:
        names = [f"m-{number}" for number in range(ROWS)]
        world.invoke(*(Invoke(Invocation(name, "s", "h", flow_id="f")) for name in names))
        world.send(CancelFlow("f", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, grace_ms=600_000), key="f")
        world.run_until_idle()
        for name in names:
            world.send(ReportTransition(name, 1, None, 1, Status.CANCELLED), key=name)
        world.run_until_idle()
        assert set(world.statuses().values()) == {"CANCELLED"}
        assert came == {"reports": ROWS, "answers": ROWS}
