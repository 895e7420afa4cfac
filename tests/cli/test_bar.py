"""The live bar: what it shows, and that it fits."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from streams.cli.show import bar as module
from streams.cli.show import follow
from streams.cli.show.bar import Bar, line
from streams.model import Action, BatchProgress, BatchState, Filter, OnTimeout

if TYPE_CHECKING:
    from collections.abc import Callable


def _progress(state: BatchState, **changes: Any) -> BatchProgress:
    absent = dict.fromkeys(
        ("limit", "max_rate", "grace_ms", "standing_until", "expires_at", "reason", "actor", "invocation_ids_count")
    )
    fields: dict[str, Any] = {
        **dict.fromkeys(BatchProgress.__struct_fields__, 0),
        **absent,
        "batch_id": "b",
        "action": Action.CANCEL,
        "filter": Filter(match_all=True),
        "on_timeout": OnTimeout.KILL,
        "state": state,
        "error": None,
        "eta_ms": None,
        "finished_at": None,
        "samples": (),
        "failures": (),
    }
    return BatchProgress(**(fields | changes))


@pytest.fixture(params=[80, 120])
def drawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Bar], list[str]]:
    """A function that draws a bar on a terminal of 80 or 120 columns."""
    console = Console(file=io.StringIO(), width=request.param, force_terminal=True, color_system=None)
    monkeypatch.setattr(module, "err", console)

    def draw(bar: Bar) -> list[str]:
        with console.capture() as captured:
            console.print(bar)
        lines = captured.get().splitlines()
        assert all(len(each) <= request.param for each in lines)
        return lines

    return draw


def test_a_running_batch_fits_two_lines_of_80_columns(drawn: Callable[[Bar], list[str]]) -> None:
    """State, share of the table, rate and time left; under it the counters, millions of them too."""
    shown = Bar()
    shown.update(
        _progress(
            BatchState.RUNNING,
            scan_total=9_000_000,
            scanned=3_000_000,
            matched=2_000_000,
            done=1_500_000,
            pending=400_000,
            skipped=100_000,
            rate=123_456.0,
            eta_ms=3_725_000,
        )
    )
    above, below = drawn(shown)
    assert above.startswith("RUNNING ")
    assert above.rstrip().endswith(" 33% 123,456/s ETA 1:02:05")
    assert "━" in above
    assert below.rstrip() == "matched 2,000,000  done 1,500,000  pending 400,000  skipped 100,000  failed 0"


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (_progress(BatchState.STARTING), "ETA -:--"),
        (_progress(BatchState.RUNNING, scan_total=4, scanned=2, eta_ms=9_000), " 50% 0/s ETA 0:09"),
        (_progress(BatchState.DRAINING, scan_total=9, scanned=9, matched=4, pending=3, done=1), " 25% 0/s ETA -:--"),
        (_progress(BatchState.COMPLETED, finished_at=5), "100% 0/s ETA -:--"),
        (_progress(BatchState.RUNNING, scan_total=1000, scanned=999), " 99% "),
    ],
)
def test_the_share_is_of_the_table_and_then_of_what_is_awaited(
    drawn: Callable[[Bar], list[str]], progress: BatchProgress, words: str
) -> None:
    """100 % is never shown before the end."""
    shown = Bar()
    shown.update(progress)
    assert words in drawn(shown)[0]


def test_the_time_left_goes_on_falling(drawn: Callable[[Bar], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two progress records too, and not below zero."""
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    shown = Bar()
    shown.update(_progress(BatchState.RUNNING, scan_total=4, scanned=2, eta_ms=9_000))
    now = 104.0
    assert "ETA 0:05" in drawn(shown)[0]
    now = 140.0
    assert "ETA 0:00" in drawn(shown)[0]


def test_who_waits_too_long_is_told_what_to_look_at(
    drawn: Callable[[Bar], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes when no worker or gateway runs."""
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    shown = Bar()
    assert drawn(shown)[1].rstrip() == "waiting for the workers ..."
    now = 112.0
    assert drawn(shown)[1].rstrip() == "no progress in 12 s: are a worker and a gateway running?"


def test_a_batch_that_stands_says_until_when(drawn: Callable[[Bar], list[str]]) -> None:
    """On a line of its own, as long as it does; with its pages done nobody can say how much is left."""
    shown = Bar()
    progress = _progress(BatchState.RUNNING, scan_total=4, scanned=4, standing_until=4_102_444_800_000)
    shown.update(progress)
    above, _, stands = drawn(shown)
    assert "%" not in above
    assert stands.rstrip() == "stands until 2100-01-01 00:00:00Z"
    assert line(progress).plain.endswith("failed 0  stands until 2100-01-01 00:00:00Z")
    shown.update(_progress(BatchState.COMPLETED, standing_until=4_102_444_800_000, finished_at=5))
    assert len(drawn(shown)) == 2


def test_without_a_terminal_all_of_it_stands_in_one_line() -> None:
    """As in a log."""
    progress = _progress(BatchState.RUNNING, scan_total=4, scanned=2, matched=2, done=2, rate=7.0)
    said = "RUNNING    50%  7/s  matched 2  done 2  pending 0  skipped 0  failed 0"
    assert line(progress).plain == f"CANCEL  {said}"
    assert line(replace(progress, dry_run=True)).plain == f"CANCEL (dry run)  {said}"


def test_without_a_terminal_a_line_comes_every_two_seconds(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """And none of a batch that has ended sooner: its end is told anyway."""
    clock = [0.0]
    monkeypatch.setattr("streams.cli.show.follow.time.monotonic", lambda: clock[0])
    told: list[tuple[float, int]] = []
    for _ in follow.shown(_progress(BatchState.RUNNING) for _ in range(9)):
        clock[0] += 0.5
        told.append((clock[0], capfd.readouterr().err.count("CANCEL  RUNNING")))
    assert [at for at, count in told if count] == [2.5, 4.5]
    assert {count for _, count in told} == {0, 1}
