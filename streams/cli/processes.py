"""`worker`, `gateway` and `broker`: processes that run until they are stopped."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from streams.cli.context import settings_of_service


def worker(
    *,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="How many processes, each with partitions of its own; one that dies is started again. Else "
            "STREAMS_WORKER_PROCESSES, else 1.",
        ),
    ] = None,
) -> None:
    """Run a worker until SIGTERM or Ctrl-C; a second Ctrl-C stops it at once.

    Example: STREAMS_WORKER_ID=worker-1 streams worker
    """
    settings = settings_of_service(**({} if processes is None else {"worker_processes": processes}))
    # Each process loads its own modules, so that no other command waits for them.
    if settings.worker_processes > 1:
        from streams.worker.processes import run_processes  # noqa: PLC0415

        raise typer.Exit(run_processes(settings))
    from streams.worker.process import run_worker  # noqa: PLC0415

    raise typer.Exit(run_worker(settings))


def gateway() -> None:
    """Run the gateway: HTTP API, events and page, and the merge of the partitions' progress.

    Example: streams gateway
    """
    from streams.gateway.parts import run_gateway  # noqa: PLC0415

    raise typer.Exit(run_gateway(settings_of_service()))


def broker(
    *,
    kind: Annotated[
        str | None, typer.Option(help="docker, apache or embedded; else BROKER, else the first that works.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where its data stays; else a temporary folder.", file_okay=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Where it listens; else 9092, or any that is free.")
    ] = None,
) -> None:
    """Run a Kafka broker for development on this machine until Ctrl-C.

    Example: streams broker --kind apache --data-dir .broker
    """
    from streams import broker as local  # noqa: PLC0415

    raise typer.Exit(local.main(kind, data_dir, port))
