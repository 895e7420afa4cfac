"""The live display of a batch: its progress, its rate and its counters."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.constrain import Constrain
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from streams.cli.options.bounds import standing_of
from streams.cli.show.console import err
from streams.model import BatchState

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

    from streams.model import BatchProgress

COUNTERS = ("matched", "done", "pending", "skipped", "failed")
STYLES = {
    BatchState.COMPLETED: "green",
    BatchState.ABORTED: "yellow",
    BatchState.REJECTED: "red",
}
_WIDEST = 110
_UNEASY_S = 10.0


class Bar:
    """Two lines for a terminal of 80 columns or more, redrawn from time to time by a `rich.live.Live`.

    A standing batch has a third line, which says until when.

    While pages are read, the bar shows the share of the table looked at; afterwards, while cancelled invocations are
    awaited, the share of them that has ended.
    """

    def __init__(self, console: Console = err, clock: Callable[[], float] = time.monotonic) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[share]:>4}"),
            TextColumn("{task.fields[rate]}"),
            TextColumn("ETA {task.fields[left]}"),
        )
        self._progress = Progress(*columns, console=console, expand=True)
        self._task = self._progress.add_task(_state(None), total=None, share="", rate="-/s", left="-")
        self._last: BatchProgress | None = None
        self._console, self._clock = console, clock
        self._since = clock()

    def update(self, progress: BatchProgress) -> None:
        """Show this progress from now on."""
        self._last = progress
        self._since = self._clock()
        share = _share(progress)
        self._progress.update(
            self._task,
            description=_state(progress.state),
            total=None if share is None else 1.0,
            completed=share or 0.0,
            share="" if share is None else f"{int(share * 100)}%",
            rate=f"{progress.rate:,.0f}/s",
        )

    def __rich__(self) -> RenderableType:
        self._progress.update(self._task, left=self._left())
        below = Text(self._waiting(), style="dim") if self._last is None else Text(counters(self._last))
        stands = self._last and standing_of(self._last)
        lines = (self._progress.get_renderable(), below, *((Text(stands, style="dim"),) if stands else ()))
        return Constrain(Group(*lines), min(_WIDEST, self._console.width))

    def _left(self) -> str:
        """The time left, which keeps falling between two progress records."""
        if self._last is None or self._last.eta_ms is None:
            return "-:--"
        minutes, seconds = divmod(max(0, round(self._last.eta_ms / 1_000 - (self._clock() - self._since))), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

    def _waiting(self) -> str:
        waited = self._clock() - self._since
        if waited < _UNEASY_S:
            return "waiting for the workers ..."
        return f"no progress in {waited:.0f} s: are a worker and a gateway running?"


def action_of(progress: BatchProgress) -> str:
    """The action of a batch, for people."""
    return f"{progress.action}{' (dry run)' if progress.dry_run else ''}"


def counters(progress: BatchProgress) -> str:
    """The counters of a batch, in one line."""
    return "  ".join(f"{name} {number:,}" for name, number in counted_as(progress))


def counted_as(progress: BatchProgress) -> list[tuple[str, int]]:
    """The counters of a batch by their names for people: a dry run has done nothing, it would."""
    if not progress.dry_run:
        return [(name, getattr(progress, name)) for name in COUNTERS]
    would = f"would {progress.action.lower()}"
    return [("matched", progress.matched), (would, progress.done), ("would skip", progress.skipped)]


def outcomes(progress: BatchProgress) -> str:
    """What has become of those that a batch has matched, in words; what is zero is left out."""
    (_, matched), (done, number), *rest = counted_as(progress)
    others = [f"{each:,} {name}" for name, each in rest if each]
    first = f"{done} {number:,} of {matched:,}" if progress.dry_run else f"{number:,} of {matched:,} {done}"
    return ", ".join([first, *others])


def line(progress: BatchProgress) -> Text:
    """A batch in one line, for output without a terminal: action, state, progress, rate, counters."""
    share = _share(progress)
    text = Text(f"{action_of(progress)}  ").append(_state(progress.state), style=STYLES.get(progress.state, "cyan"))
    text.append(f" {'' if share is None else f'{int(share * 100)}%':>4}  {progress.rate:,.0f}/s  ", style="default")
    stands = standing_of(progress)
    return text.append(counters(progress) + (f"  {stands}" if stands else ""), style="default")


def _state(state: BatchState | None) -> str:
    return f"{state or '':<9}"


def _share(progress: BatchProgress) -> float | None:
    """The part that is done, 0 to 1; None if it is unknown yet."""
    if progress.finished_at is not None:
        return 1.0
    if progress.state is BatchState.DRAINING and progress.matched:
        return (progress.matched - progress.pending) / progress.matched
    if standing_of(progress) is not None and progress.scanned >= progress.scan_total:
        return None
    return progress.scanned / progress.scan_total if progress.scan_total else None
