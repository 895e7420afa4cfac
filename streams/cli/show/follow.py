"""The follow-up of a batch to its end, with a live bar on stderr."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from rich.live import Live
from rich.table import Table
from rich.text import Text

from streams.cli.options.selection import describe
from streams.cli.show.bar import STYLES, Bar, action_of, counted_as, line
from streams.cli.show.console import Exit, err
from streams.cli.show.times import iso
from streams.cli.show.waiting import Waiting
from streams.client import BatchTimeoutError, ProgressReader
from streams.model import BatchState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from streams.cli.context import Connection
    from streams.model import BatchProgress

_EVERY_S = 2.0
_Progress = TypeVar("_Progress")


@dataclass
class Watched:
    """The result of watching a batch. `last` is None if there was no progress. `error`: why watching ended early."""

    last: BatchProgress | None = None
    interrupted: bool = False
    error: str | None = None

    def stands(self, batch_id: str) -> str:
        """The state of the batch, for a message about another error."""
        return f"batch {batch_id} " + ("is in the log" if self.last is None else f"is {self.last.state}")

    @property
    def exit_code(self) -> Exit:
        """0 only if the batch has completed and nothing failed."""
        if self.interrupted:
            return Exit.INTERRUPTED
        done = self.last is not None and self.last.state is BatchState.COMPLETED and self.last.failed == 0
        return Exit.OK if done and self.error is None else Exit.FAILED


def watch(connection: Connection, batch_id: str, timeout_ms: int | None = None) -> Watched:
    """Show a batch's progress until it has ended, the time is over, or Ctrl-C; the batch goes on in any case."""
    watched = Watched()
    timeout = None if timeout_ms is None else timeout_ms / 1_000
    progresses = ProgressReader(*connection).follow(batch_id, timeout, Waiting(connection, batch_id))
    try:
        for progress in shown(progresses):
            watched.last = progress
    except BatchTimeoutError as error:
        watched.error = str(error)
    except KeyboardInterrupt:
        watched.interrupted = True
        err.print("not watching any longer; the batch goes on", markup=False)
        tell_ways_back(batch_id)
    return watched


def tell_ways_back(batch_id: str) -> None:
    """Print how to watch the batch again, and how to stop it."""
    err.print(f"watch it again: streams batch watch {batch_id}", markup=False)
    err.print(f"stop it:        streams batch abort {batch_id}", markup=False)


def shown(
    progresses: Iterable[_Progress], make: Callable[[], Any] = Bar, told: Callable[[Any], Text] = line
) -> Iterator[_Progress]:
    """The same progress, shown as it passes: as a live bar on a terminal, elsewhere a line every two seconds.

    make: makes the bar. told: the line.
    """
    if err.is_terminal:
        bar = make()
        with Live(bar, console=err, transient=True, refresh_per_second=10):
            for progress in progresses:
                bar.update(progress)
                yield progress
        return
    printed = time.monotonic()
    for progress in progresses:
        if time.monotonic() - printed >= _EVERY_S:
            printed = time.monotonic()
            err.print(told(progress))
        yield progress


def table(progress: BatchProgress, ids_shown: int | None = None, ends: str | None = None) -> Table:
    """A batch as a table for people.

    Args:
        progress: of the batch.
        ids_shown: most sample ids shown; None for all.
        ends: how those that it has asked have ended, in words.
    """
    grid = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    grid.add_column(style="bold")
    grid.add_column(justify="left")
    grid.add_row("batch", progress.batch_id)
    grid.add_row("action", action_of(progress))
    grid.add_row("state", Text(progress.state, style=STYLES.get(progress.state, "cyan")))
    if progress.error is not None:
        grid.add_row("error", Text(progress.error))
    grid.add_row("filter", Text(describe(progress.filter, progress.invocation_ids_count)))
    for name, bound in _bounds(progress):
        grid.add_row(name, bound)
    for name in ("actor", "reason"):
        if getattr(progress, name) is not None:
            grid.add_row(name, Text(getattr(progress, name)))
    for name, told in _numbers(progress, ends):
        grid.add_row(name, told)
    grid.add_row("scanned", f"{progress.scanned:,} of {progress.scan_total:,}")
    grid.add_row("partitions", f"{progress.partitions_done} of {progress.partitions_total} done")
    grid.add_row("created", iso(progress.created_at))
    if progress.finished_at is not None:
        seconds = max(0, progress.finished_at - progress.created_at) / 1_000
        grid.add_row("finished", f"{iso(progress.finished_at)} after {seconds:,.1f} s")
    for name, ids in (("samples", progress.samples), ("failures", progress.failures)):
        if ids:
            more = ["..."] if len(ids[:ids_shown]) < len(ids) else []
            grid.add_row(name, Text("\n".join([*ids[:ids_shown], *more])))
    return grid


def _numbers(progress: BatchProgress, ends: str | None) -> Iterator[tuple[str, str]]:
    for name, number in counted_as(progress):
        yield name, f"{number:,}"
    if ends is not None:
        yield "of these", ends
    if progress.held:
        yield "held", f"{progress.held:,} would have started, and wait for this batch"


def _bounds(progress: BatchProgress) -> Iterator[tuple[str, str]]:
    if progress.limit is not None:
        yield "limit", f"{progress.limit:,}"
    if progress.max_rate is not None:
        yield "max rate", f"{progress.max_rate:,g}/s"
    if progress.standing_until is not None:
        yield "stands until", iso(progress.standing_until)
    if progress.expires_at is not None:
        yield "expires", iso(progress.expires_at)
