"""`batch pause`, `resume`, `abort`, `rate`: what is sent, awaited, printed and returned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from streams.cli import find_batch
from streams.client import BatchTimeoutError
from streams.model import Action, BatchProgress, BatchState, ControlOperation, Filter, StartBatch
from support.service.stand_in import ME, Service, progress_of

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNNING = progress_of(StartBatch("b-7", Action.KILL, Filter(match_all=True)), BatchState.RUNNING, finished_at=None)
PAUSED = replace(RUNNING, state=BatchState.PAUSED)


def shows(service: Service, before: BatchProgress, *after: BatchProgress) -> None:
    """The batch is as `before` says and, once it is controlled, as `after` says in turn."""

    def answer(_: object) -> Iterator[BatchProgress]:
        yield from after
        raise BatchTimeoutError("not ended")

    service.publish(before)
    service.answer = answer


def sent(service: Service) -> list[tuple[str, ControlOperation, float | None, str | None]]:
    """What is in the log, but for the numbers that tell two controls apart."""
    return [(each.batch_id, each.operation, each.max_rate, each.actor) for each in service.sent]


@pytest.mark.parametrize(
    ("words", "operation", "max_rate", "before", "after"),
    [
        (["pause", "b-7"], ControlOperation.PAUSE, None, RUNNING, PAUSED),
        (["resume", "b-7"], ControlOperation.RESUME, None, PAUSED, RUNNING),
        (["abort", "b-7"], ControlOperation.ABORT, None, RUNNING, replace(RUNNING, state=BatchState.ABORTED)),
        (["abort", "b-7"], ControlOperation.ABORT, None, RUNNING, replace(RUNNING, state=BatchState.DRAINING)),
        (["rate", "b-7", "2.5"], ControlOperation.SET_RATE, 2.5, RUNNING, replace(RUNNING, max_rate=2.5)),
        (["pause", "b-7"], ControlOperation.PAUSE, None, RUNNING, replace(RUNNING, state=BatchState.COMPLETED)),
    ],
)
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_control_is_one_command_and_returns_once_it_shows(
    service: Service,
    words: list[str],
    operation: ControlOperation,
    max_rate: float | None,
    before: BatchProgress,
    after: BatchProgress,
    more: list[str],
) -> None:
    """Or once the batch has no pages left, for which it came too late; the batch as it then stands is printed."""
    shows(service, before, before, after)
    result = service.run("batch", *words, *more)
    assert result.exit_code == 0
    assert sent(service) == [("b-7", operation, max_rate, ME)]
    assert after.state == json.loads(result.stdout)["state"] if more else after.state in result.stdout


@pytest.mark.parametrize("state", [BatchState.DRAINING, BatchState.COMPLETED, BatchState.ABORTED, BatchState.REJECTED])
@pytest.mark.parametrize("words", [["pause"], ["resume"], ["abort"], ["rate"]])
def test_a_batch_without_pages_left_is_not_controlled(service: Service, words: list[str], state: BatchState) -> None:
    """Nothing is sent, and the exit code is 1."""
    shows(service, replace(RUNNING, state=state))
    result = service.run("batch", *words, "b-7", *(["5"] if words == ["rate"] else []))
    assert f"batch b-7 is {state}" in str(result.exception)
    assert not service.sent


def test_a_batch_that_stands_takes_no_rate(service: Service) -> None:
    """Nothing is sent; it may be paused and aborted like any other."""
    stands = replace(RUNNING, standing_until=4_102_444_800_000)
    shows(service, stands, stands, replace(stands, state=BatchState.PAUSED))
    result = service.run("batch", "rate", "b-7", "5")
    assert "batch b-7 stands until 2100-01-01 00:00:00Z and takes no rate" in str(result.exception)
    assert not service.sent
    assert service.run("batch", "pause", "b-7").exit_code == 0


def test_a_batch_that_nobody_knows_is_not_controlled(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id may be mistyped."""
    monkeypatch.setattr(find_batch, "_PATIENCE_S", 0.0)
    result = service.run("batch", "abort", "b-7")
    assert "batch b-7 is not known" in str(result.exception)
    assert not service.sent


def test_a_control_that_does_not_show_says_so(service: Service) -> None:
    """It is in the log all the same."""
    shows(service, RUNNING, RUNNING)
    result = service.run("batch", "pause", "b-7")
    assert "is in the log, and has not taken effect" in str(result.exception)
    assert len(service.sent) == 1


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_without_waiting_nothing_is_looked_up(service: Service, more: list[str]) -> None:
    """So that a batch can be stopped while no gateway runs."""
    result = service.run("batch", "abort", "b-7", "--no-wait", *more)
    assert result.exit_code == 0
    assert sent(service) == [("b-7", ControlOperation.ABORT, None, ME)]
    assert "b-7" in result.stdout


@pytest.mark.parametrize("rows", ["0", "nan", "inf", "fast"])
def test_a_rate_is_a_number_above_0(service: Service, rows: str) -> None:
    """Anything else is not understood, and not sent."""
    assert service.run("batch", "rate", "b-7", rows).exit_code == 2
    assert not service.sent
