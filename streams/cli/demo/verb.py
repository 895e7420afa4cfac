"""`demo`: the whole service on this machine, from an empty broker to a kill by filter, and nothing left behind."""

from __future__ import annotations

import secrets
import signal
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams import broker
from streams.broker.base import free_port
from streams.cli.children import QuietChildren
from streams.cli.context import connection_of_command
from streams.cli.demo.story import Story
from streams.cli.demo.workload import Workload
from streams.cli.show.console import Exit, err, out
from streams.cli.up import own_variables
from streams.config import Settings, load_settings, variable
from streams.errors import StreamsError
from streams.kafka import topics
from streams.kafka.admin import Admin

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTITIONS = 4
WORKERS = 2


def demo(
    *,
    invocations: Annotated[int, typer.Option(min=20, max=5_000_000, help="How many are loaded.")] = 200_000,
    keep: Annotated[
        bool,
        typer.Option("--keep", metavar="", help="Leave everything running until Ctrl-C, to try other commands on it."),
    ] = False,
) -> None:
    """Show a kill by filter on a broker, two workers, a gateway and an executor; ends by itself, leaves nothing.

    The broker: BROKER=HOST:PORT, docker, apache or embedded, else the first of these that works.

    Example: streams demo --invocations 50000 --keep
    """
    connection_of_command()
    asked = threading.Event()

    def interrupt(_number: int, _frame: object) -> None:
        asked.set()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        with _service() as (settings, children):
            Story(settings, children, Workload(invocations)).tell()
            if keep:
                _stay(settings, children)
        out.print(
            "\nlook at it yourself: make demo KEEP=1 (or streams demo --keep) leaves it running, and names its page"
        )
    except (KeyboardInterrupt, Exception):
        # An interrupted part may fail in its own way: a client's callback, or a child that got the signal, too.
        if not asked.is_set():
            raise
        err.print("stopped; nothing is left running")
        raise typer.Exit(Exit.INTERRUPTED) from None


@contextmanager
def _service() -> Iterator[tuple[Settings, QuietChildren]]:
    """A broker, fresh topics, workers, a gateway and an executor; all are removed afterwards."""
    with _broker() as started, tempfile.TemporaryDirectory(prefix="streams-demo-") as folder:
        out.print(f"[bold]broker[/]      {started.label}, {started.bootstrap}")
        if started.limits:
            out.print(f"            {started.limits}")
        prefix = f"demo-{secrets.token_hex(4)}."
        choices = {
            "bootstrap_servers": started.bootstrap,
            "topic_prefix": prefix,
            "group_id": f"{prefix}workers",
            "gateway_http": f"127.0.0.1:{free_port()}",
            "state_dir": folder,
            "worker_id": prefix.removesuffix("."),
            "worker_processes": "1",
        }
        settings = load_settings(**choices)
        variables = {variable(name): value for name, value in choices.items()}
        try:
            topics.create(settings, PARTITIONS)
            out.print(f"[bold]topics[/]      {prefix}*, {PARTITIONS} partitions")
            with QuietChildren(Path(folder), variables) as children:
                _start(settings, children)
                yield settings, children
        finally:
            if started.kind == "external":
                _delete_topics(settings)


def _start(settings: Settings, children: QuietChildren) -> None:
    for number in range(1, WORKERS + 1):
        name = f"worker-{number}"
        children.start(name, "worker", **own_variables(settings, name))
    children.start("gateway", "gateway")
    children.start("executor", module="streams.cli.demo.executor")
    out.print(f"[bold]service[/]     {WORKERS} workers, a gateway, an executor")


def _broker() -> broker.Broker:
    try:
        return broker.start()
    except broker.BrokerUnavailableError as error:
        raise StreamsError(str(error)) from error


def _delete_topics(settings: Settings) -> None:
    """Delete the demo's topics, for the broker lives on. All, the gateway's own included, have the demo's prefix."""
    kafka = Admin(settings)
    kafka.delete([name for name in kafka.partition_counts() if name.startswith(settings.topic_prefix)])


def _stay(settings: Settings, children: QuietChildren) -> None:
    out.print(f"\nall of it keeps running; its page: http://{settings.gateway_http}/")
    out.print("in another terminal:")
    out.print(f"  export STREAMS_BOOTSTRAP_SERVERS={settings.bootstrap_servers}")
    out.print(f"  export STREAMS_TOPIC_PREFIX={settings.topic_prefix}")
    out.print(f"  export STREAMS_GATEWAY_URL=http://{settings.gateway_http}")
    out.print("  streams cancel --service billing")
    out.print("  streams tail signals --follow")
    out.print("Ctrl-C here stops it and removes everything.")
    while True:
        children.require_running()
        time.sleep(1.0)
