"""The live bar: what it shows, and that it fits."""

from __future__ import annotations

import io
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from streams.cli.show import follow
from streams.cli.show.bar import Bar, line
from streams.model import Action, BatchProgress, BatchState, Filter, StartBatch
from support.service.stand_in import progress_of


class Terminal:
    """A terminal of some width, and a bar on it, whose clock is `now`."""

    def __init__(self, width: int) -> None:
        self.now = 100.0
        self._width = width
        self._console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
        self.bar = Bar(self._console, lambda: self.now)

    def lines(self) -> list[str]:
        """The lines of the bar as drawn now."""
        with self._console.capture() as captured:
            self._console.print(self.bar)
        lines = captured.get().splitlines()
        assert all(len(each) <= self._width for each in lines)
        return lines


def _progress(state: BatchState, **changes: Any) -> BatchProgress:
    nothing = dict.fromkeys(("scan_total", "scanned", "matched", "done", "rate"), 0)
    start = StartBatch("b", Action.CANCEL, Filter(match_all=True))
    return progress_of(start, state, **({**nothing, "finished_at": None} | changes))


@pytest.fixture(params=[80, 120])
def terminal(request: pytest.FixtureRequest) -> Terminal:
    """A terminal of 80 or 120 columns."""
    return Terminal(request.param)


def test_a_running_batch_fits_two_lines_of_80_columns(terminal: Terminal) -> None:
    """State, share of the table, rate and time left; under it the counters, millions of them too."""
    terminal.bar.update(
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
    above, below = terminal.lines()
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
    terminal: Terminal, progress: BatchProgress, words: str
) -> None:
    """100 % is never shown before the end."""
    terminal.bar.update(progress)
    assert words in terminal.lines()[0]


def test_the_time_left_goes_on_falling(terminal: Terminal) -> None:
    """Between two progress records too, and not below zero."""
    terminal.bar.update(_progress(BatchState.RUNNING, scan_total=4, scanned=2, eta_ms=9_000))
    terminal.now = 104.0
    assert "ETA 0:05" in terminal.lines()[0]
    terminal.now = 140.0
    assert "ETA 0:00" in terminal.lines()[0]


def test_who_waits_too_long_is_told_what_to_look_at(terminal: Terminal) -> None:
    """Nothing comes when no worker or gateway runs."""
    assert terminal.lines()[1].rstrip() == "waiting for the workers ..."
    terminal.now = 112.0
    assert terminal.lines()[1].rstrip() == "no progress in 12 s: are a worker and a gateway running?"


def test_a_batch_that_stands_says_until_when(terminal: Terminal) -> None:
    """On a line of its own, as long as it does; with its pages done nobody can say how much is left."""
    progress = _progress(BatchState.RUNNING, scan_total=4, scanned=4, standing_until=4_102_444_800_000)
    terminal.bar.update(progress)
    above, _, stands = terminal.lines()
    assert "%" not in above
    assert stands.rstrip() == "stands until 2100-01-01 00:00:00Z"
    assert line(progress).plain.endswith("failed 0  stands until 2100-01-01 00:00:00Z")
    terminal.bar.update(_progress(BatchState.COMPLETED, standing_until=4_102_444_800_000, finished_at=5))
    assert len(terminal.lines()) == 2


def test_without_a_terminal_all_of_it_stands_in_one_line() -> None:
    """As in a log."""
    progress = _progress(BatchState.RUNNING, scan_total=4, scanned=2, matched=2, done=2, rate=7.0)
    said = "RUNNING    50%  7/s  matched 2  done 2  pending 0  skipped 0  failed 0"
    assert line(progress).plain == f"CANCEL  {said}"
    dry = "RUNNING    50%  7/s  matched 2  would cancel 2  would skip 0"
    assert line(replace(progress, dry_run=True)).plain == f"CANCEL (dry run)  {dry}"


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
