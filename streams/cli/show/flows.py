"""The display of a flow, and the follow-up of its cancel with a live bar on stderr."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group
from rich.constrain import Constrain
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from streams.cli.show.console import Exit, err
from streams.cli.show.fitting import Column, fitting, plain
from streams.cli.show.follow import shown
from streams.cli.show.times import ago, iso
from streams.cli.show.waiting import FlowWaiting
from streams.client import FlowReader, FlowTimeoutError
from streams.clock import wall_clock
from streams.model import FlowAction, FlowState

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from streams.cli.context import Connection
    from streams.model import FlowProgress

NUMBERS = ("members", "live", "pending", "ended", "kept", "failed")
STYLES = {FlowState.CANCELLED: "green", FlowState.PARTIALLY_CANCELLED: "yellow"}
_WIDEST = 110
_COLUMNS = (
    Column("flow", least=20, fold=True),
    Column("state"),
    Column("action", rank=4),
    Column("policy", rank=5),
    *(Column(name, rank=2 if name in {"live", "kept"} else 0, right=True) for name in NUMBERS),
    Column("updated", rank=3, right=True),
)


class FlowBar:
    """Two lines for a terminal, redrawn from time to time by a `rich.live.Live`: how many of those asked have ended."""

    def __init__(self, console: Console = err) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[share]:>4}"))
        self._progress = Progress(*columns, console=console, expand=True)
        self._task = self._progress.add_task("", total=None, share="")
        self._below = Text("waiting for the flow's worker ...", style="dim")
        self._console = console
        self._most = 0

    def update(self, progress: FlowProgress) -> None:
        """Show this progress from now on."""
        self._most = max(self._most, progress.pending)
        share = None if progress.state is FlowState.OPEN else 1.0
        if progress.pending:
            share = (self._most - progress.pending) / self._most
        self._progress.update(
            self._task,
            description=progress.state,
            total=None if share is None else 1.0,
            completed=share or 0.0,
            share="" if share is None else f"{int(share * 100)}%",
        )
        self._below = Text(numbers(progress))

    def __rich__(self) -> RenderableType:
        return Constrain(Group(self._progress.get_renderable(), self._below), min(_WIDEST, self._console.width))


def numbers(progress: FlowProgress) -> str:
    """The numbers of a flow, in one line."""
    return "  ".join(f"{name} {getattr(progress, name):,}" for name in NUMBERS)


def flow_line(progress: FlowProgress) -> Text:
    """A flow in one line, for output without a terminal."""
    return Text(progress.state, style=STYLES.get(progress.state, "cyan")).append(f"  {numbers(progress)}", "default")


@dataclass
class WatchedFlow:
    """The result of watching a flow. `last` is None if there was no progress. `error`: why it was not to the end."""

    flow_id: str
    last: FlowProgress | None = None
    interrupted: bool = False
    error: str | None = None

    @property
    def stands(self) -> str:
        """The state of the flow, for a message about another error."""
        return f"flow {self.flow_id} is {'not known yet' if self.last is None else self.last.state}"

    @property
    def problem(self) -> str | None:
        """The reason why it is not simply CANCELLED; None if it is."""
        if self.error is not None or self.last is None:
            return self.error or f"flow {self.flow_id} has shown no progress"
        if self.last.state is not FlowState.PARTIALLY_CANCELLED:
            return None
        more = ", ..." if self.last.failed > len(self.last.failures) else ""
        return (
            f"flow {self.flow_id}: {self.last.failed:,} members did not end within their grace and were left: "
            f"{', '.join(self.last.failures)}{more}. Cancelled again, it asks them once more; --kill ends them"
        )

    @property
    def exit_code(self) -> Exit:
        """0 only if the flow is CANCELLED, 3 if some of its members were left."""
        if self.interrupted:
            return Exit.INTERRUPTED
        if self.error is not None or self.last is None:
            return Exit.FAILED
        return {FlowState.CANCELLED: Exit.OK, FlowState.PARTIALLY_CANCELLED: Exit.PARTIAL}[self.last.state]


def watch_flow(connection: Connection, flow_id: str, timeout_ms: int | None, since: int = 0) -> WatchedFlow:
    """Show a flow's progress until it is cancelled, the time is over, or Ctrl-C; its cancel goes on in any case.

    since: lowest revision that counts, as for `FlowReader.follow`.
    """
    watched = WatchedFlow(flow_id)
    timeout = None if timeout_ms is None else timeout_ms / 1_000
    waiting = FlowWaiting(connection, flow_id)
    progresses = FlowReader(*connection).follow(flow_id, timeout=timeout, on_quiet=waiting, since=since)
    try:
        for progress in shown(progresses, FlowBar, flow_line):
            watched.last = progress
    except FlowTimeoutError as error:
        watched.error = str(error)
    except KeyboardInterrupt:
        watched.interrupted = True
        err.print("not watching any longer; what was asked of the flow goes on", markup=False)
        err.print(f"watch it again: streams flow watch {flow_id}", markup=False)
    return watched


def flow_table(progress: FlowProgress) -> Table:
    """A flow as a table for people."""
    grid = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    grid.add_column(style="bold")
    grid.add_column()
    grid.add_row("flow", Text(progress.flow_id))
    grid.add_row("state", Text(progress.state, style=STYLES.get(progress.state, "cyan")))
    for name in ("action", "policy", "reason", "actor", "escalated_by"):
        if getattr(progress, name) is not None:
            grid.add_row(name.replace("_", " "), Text(getattr(progress, name)))
    if progress.action is FlowAction.CANCEL and progress.grace_ms is not None:
        grid.add_row("grace", f"{progress.grace_ms / 1_000:g} s, then {progress.on_timeout}")
    for name in NUMBERS:
        grid.add_row(name, f"{getattr(progress, name):,}")
    if progress.backlog:
        due = "" if progress.next_due_at is None else f", asks again after {iso(progress.next_due_at)}"
        grid.add_row("reconciler", f"looks after it{due}")
    grid.add_row("created", iso(progress.created_at))
    grid.add_row("updated", iso(progress.updated_at))
    if progress.failures:
        more = ["..."] if progress.failed > len(progress.failures) else []
        grid.add_row("failures", Text("\n".join([*progress.failures, *more])))
    return grid


def listed(flows: list[FlowProgress], width: int | None) -> Table:
    """Flows as a table, one a row; of a terminal's width, if that is given."""
    rows = []
    now = wall_clock()
    for each in flows:
        counts = [f"{getattr(each, name):,}" for name in NUMBERS]
        updated = iso(each.updated_at) if width is None else ago(each.updated_at, now)
        state = Text(each.state, style=STYLES.get(each.state, "cyan"))
        rows.append(plain(each.flow_id, state, each.action or "-", each.policy or "-", *counts, updated))
    return fitting(_COLUMNS, rows, width)
