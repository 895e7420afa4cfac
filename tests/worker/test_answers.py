"""Answers that a batch waits for: its pages are charged for them, and they are nobody's waiting."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from streams.model import Action, Filter, ReportTransition, StartBatch, Status
from streams.worker.page_sizes import ANSWER_COST, SIGNAL_COST, Budget, Measured, TunedSizes
from support.service.worker_world import World, invocations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pytest

ROWS = 40


def test_a_turn_tells_answers_from_what_people_wait_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first answer of each row that a batch has asked; other reports are an executor's own."""
    came: Counter[str] = Counter()
    costs: dict[str, set[float]] = {}

    class Spy(Budget):
        def came(self, records: Mapping[type, int], commands_ms: float, now_s: float, answers: int = 0) -> None:
            came["reports"] += records.get(ReportTransition, 0)
            came["answers"] += answers
            super().came(records, commands_ms, now_s, answers)

    def learn(self: TunedSizes, pages: Sequence[Measured], others: Any, budget_ms: float, usual: int | None) -> None:
        for page in pages:
            costs.setdefault(page.batch_id, set()).add(page.cost)
        known(self, pages, others, budget_ms, usual)

    known = TunedSizes.learn
    monkeypatch.setattr("streams.worker.worker.Budget", Spy)
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
        for name, report in reports.items():
            answer = replace(report, report_no=2, to=Status.CANCELLED)
            world.send(answer, answer, key=name)
        world.run_until_idle()
        assert set(world.statuses().values()) == {"CANCELLED"}
        assert came == {"reports": 3 * ROWS, "answers": ROWS}
        world.invoke(*invocations(range(ROWS), "later"))
        world.send(StartBatch("kill", Action.KILL, Filter(match_all=True)), key="kill")
        world.run_until_idle()
        assert costs["kill"] == {SIGNAL_COST}
