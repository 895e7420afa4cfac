"""`demo`: the whole service on this machine, from an empty broker to a kill by filter, and nothing left behind."""

from __future__ import annotations

import secrets
import signal
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from streams import broker, topics
from streams.admin import Admin
from streams.cli.children import Children
from streams.cli.console import err, out, settings_of_command
from streams.cli.follow import shown
from streams.cli.tally import tally
from streams.cli.workload import DOOMED, Workload
from streams.client import BatchTimeoutError, Client, Delivery, ProgressReader, new_batch_id
from streams.config import Settings, Topic, load_settings
from streams.errors import StreamsError
from streams.model import Action, BatchProgress, BatchState, Filter, Invoke, Signal, SignalKind, StartBatch

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTITIONS = 4
_LOOK_S = 5.0
_PATIENCE_S = 90.0


def demo(
    *,
    invocations: Annotated[int, typer.Option(min=8, max=5_000_000, help="How many are loaded.")] = 20_000,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running until Ctrl-C, to try other commands on it.")
    ] = False,
) -> None:
    """Show a kill by filter on a broker, a worker and a gateway of its own; ends by itself, leaves nothing running.

    The broker: BROKER=HOST:PORT, docker, apache or embedded, else the first of these that works.

    Example: streams demo --invocations 100000
    """
    settings_of_command()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _service() as (settings, children):
            _Story(settings, children, Workload(invocations)).tell()
            if keep:
                _stay(settings, children)
    except KeyboardInterrupt:
        err.print("stopped; nothing is left running")
        raise typer.Exit(130) from None


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _service() -> Iterator[tuple[Settings, Children]]:
    """A broker, fresh topics, a worker and a gateway; all of it is gone afterwards."""
    with _broker() as started, tempfile.TemporaryDirectory(prefix="streams-demo-") as folder:
        out.print(f"[bold]broker[/]      {started.label}, {started.bootstrap}")
        if started.limits:
            out.print(f"            {started.limits}")
        prefix = f"demo-{secrets.token_hex(4)}."
        choices = {
            "bootstrap_servers": started.bootstrap,
            "topic_prefix": prefix,
            "state_dir": str(Path(folder) / "state"),
            "group_id": f"{prefix}workers",
            "worker_id": f"{prefix}worker",
        }
        settings = load_settings(**choices)
        variables = {f"STREAMS_{name.upper()}": value for name, value in choices.items()}
        try:
            topics.create(settings, PARTITIONS)
            out.print(f"[bold]topics[/]      {prefix}*, {PARTITIONS} partitions")
            with Children(Path(folder), variables) as children:
                children.start("worker")
                children.start("gateway")
                yield settings, children
        finally:
            if started.kind == "external":
                _delete_topics(settings)


def _broker() -> broker.Broker:
    try:
        return broker.start()
    except broker.BrokerUnavailableError as error:
        raise StreamsError(str(error)) from error


def _delete_topics(settings: Settings) -> None:
    """The broker lives on; everything of the demo, the gateway's own topics included, has its prefix."""
    kafka = Admin(settings)
    kafka.delete([name for name in kafka.partition_counts() if name.startswith(settings.topic_prefix)])


def _stay(settings: Settings, children: Children) -> None:
    out.print("\nall of it keeps running; in another terminal:")
    out.print(f"  export STREAMS_BOOTSTRAP_SERVERS={settings.bootstrap_servers}")
    out.print(f"  export STREAMS_TOPIC_PREFIX={settings.topic_prefix}")
    out.print("  streams cancel --service billing --dry-run")
    out.print("Ctrl-C here stops it and removes everything.")
    while True:
        children.require_running()
        time.sleep(1.0)


class _Story:
    """What the demo shows, step by step, each held against what the workload says."""

    def __init__(self, settings: Settings, children: Children, workload: Workload) -> None:
        self._settings = settings
        self._children = children
        self._workload = workload

    def tell(self) -> None:
        """Load, count, kill, and look whether it is true.

        Raises:
            StreamsError: the service counted otherwise than the demo itself, or did not get on.
        """
        self._load()
        size = self._workload.size
        counted, _ = self._batch("dry run", Filter(match_all=True), dry_run=True)
        expect("invocations in the table", counted.done, size)

        logged = self._commands()
        killed, place = self._batch("kill", Filter(services=(DOOMED,)), dry_run=False)
        self._summary(killed, place, self._commands() - logged)

        left, _ = self._batch("dry run", Filter(match_all=True), dry_run=True)
        self._check(killed, left)

    def _load(self) -> None:
        workload = self._workload
        columns = (TextColumn("loading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        began = time.monotonic()
        with (
            Client(self._settings) as client,
            Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars,
        ):
            task = bars.add_task("", total=workload.size)
            for invoke in workload.invocations():
                client.send(invoke)
                bars.advance(task)
            client.flush()
        seconds = time.monotonic() - began
        scheduled = workload.scheduled.total()
        out.print(
            f"[bold]loaded[/]      {workload.size:,} invocations of {len(workload.started)} services "
            f"in {seconds:.1f} s: {scheduled:,} scheduled for tomorrow, {workload.size - scheduled:,} started at once"
        )

    def _batch(self, title: str, chosen: Filter, *, dry_run: bool) -> tuple[BatchProgress, Delivery]:
        """Start a batch and see it to its end; its last progress, and where its command stands."""
        start = StartBatch(new_batch_id(), Action.KILL, chosen, dry_run=dry_run, reason="demo")
        deliveries: list[Delivery] = []
        with Client(self._settings) as client:
            client.send(start, deliveries.append)
        began = time.monotonic()
        progress = self._end_of(start.batch_id)
        took = time.monotonic() - began
        which = "all" if chosen.match_all else f"service {DOOMED}"
        out.print(f"[bold]{title:<11}[/] {which}: {progress.state}, matched {progress.matched:,}, {took:.1f} s")
        if progress.state is not BatchState.COMPLETED:
            raise StreamsError(f"batch {start.batch_id} is {progress.state}: {progress.error}")
        return progress, deliveries[0]

    def _end_of(self, batch_id: str) -> BatchProgress:
        deadline = time.monotonic() + _PATIENCE_S + self._workload.size / 2_000
        while True:
            self._children.require_running()
            if time.monotonic() > deadline:
                raise StreamsError(f"batch {batch_id} has not ended in time: slow machine, or a bug")
            try:
                *_, last = shown(ProgressReader(self._settings).follow(batch_id, _LOOK_S))
            except BatchTimeoutError:
                continue  # a look at whether worker and gateway still live
            return last

    def _commands(self) -> Any:
        """Records in the command log by kind, those of clients' invocations left out."""
        return tally(
            self._settings,
            self._settings.topic(Topic.COMMANDS),
            lambda record: None if isinstance(record, Invoke) else type(record).__name__,
        )

    def _summary(self, killed: BatchProgress, place: Delivery, added: Any) -> None:
        seconds = max(1, (killed.finished_at or killed.updated_at) - killed.created_at) / 1_000
        own = added.pop("StartBatch")
        listed = ", ".join(f"{count} {name}" for name, count in sorted(added.items()))
        out.print(
            f"[bold]killed[/]      {killed.done:,} of {killed.matched:,} matched, "
            f"in {seconds:.2f} s by the log's clock: {killed.done / seconds:,.0f}/s"
        )
        out.print(
            f"[bold]asked[/]       by {own} record in the log: partition {place.partition}, offset {place.offset}; "
            f"the workers added {added.total()} ({listed})"
        )

    def _check(self, killed: BatchProgress, left: BatchProgress) -> None:
        workload = self._workload
        expect("matched by the kill", killed.matched, workload.doomed)
        expect("ended by the kill", killed.done, workload.doomed)
        expect("skipped, pending or failed", killed.skipped + killed.pending + killed.failed, 0)
        expect("not ended afterwards", left.done, workload.size - workload.doomed)
        signals = tally(
            self._settings,
            self._settings.topic(Topic.SIGNALS),
            lambda record: record.kind if isinstance(record, Signal) else None,
        )
        expect("START signals", signals[SignalKind.START], workload.started.total())
        expect("KILL signals", signals[SignalKind.KILL], workload.started[DOOMED])
        out.print(
            f"[bold green]true[/]        {left.done:,} others are untouched; KILL signals went to the "
            f"{workload.started[DOOMED]:,} that had started, none to the {workload.scheduled[DOOMED]:,} that had not"
        )


def expect(what: str, found: int, wanted: int) -> None:
    """Raise a `StreamsError` unless the service found what the demo counted."""
    if found != wanted:
        raise StreamsError(f"{what}: the service says {found:,}, the demo counted {wanted:,}")
