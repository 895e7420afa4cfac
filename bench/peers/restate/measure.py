"""Restate kills and cancels: by its internal endpoint for a thousand ids, and by its command line."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bench.lib.batch import beside, beside_idle, print_pings, read_pings
from bench.lib.report import load_average, print_table
from bench.lib.service import BenchError, say
from bench.peers import installed as peers
from bench.peers.restate.server import Restate, restate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.lib.batch import Pings

_WARM_UP_S = 10.0
_IDLE_S = 10.0
_AFTER_S = 2.0
_ENDED_WITHIN_S = 1_800.0
_LOOK_EVERY_S = 0.25
ENDPOINT, ENDPOINT_PINGS, COMMAND_LINE = "endpoint, alone", "endpoint, with pings", "command line, alone"
CANCEL, CANCEL_PINGS = "command line, cancel alone", "command line, cancel with pings"
KILL_PINGED, CANCEL_PINGED = "Restate, kill", "Restate, cancel"
_HEAD = ("Restate", "rows", "seconds", "ended/s", "load")


def installed() -> bool:
    """Whether it can be measured; else one line says how to install it."""
    return peers.here("restate")


def kills(rows: int, rate: float) -> dict[str, Any]:
    """Figures of kills of scheduled rows.

    The endpoint is given the ids: to find them is not counted. The command line finds them itself.
    """
    return peers.each_of(
        {
            ENDPOINT: lambda: _measured(rows, ENDPOINT, _by_endpoint),
            ENDPOINT_PINGS: lambda: _measured(rows, ENDPOINT_PINGS, _by_endpoint, rate),
            COMMAND_LINE: lambda: _measured(rows, COMMAND_LINE, _by_command_line),
        }
    )


def cancels(rows: int, rate: float) -> dict[str, Any]:
    """Figures of cancels of suspended rows by its command line, until each has ended."""
    return peers.each_of(
        {
            CANCEL: lambda: _measured(rows, CANCEL, _cancelled, later=False),
            CANCEL_PINGS: lambda: _measured(rows, CANCEL_PINGS, _cancelled, rate, later=False),
        }
    )


def latencies(rows: int, rate: float) -> dict[str, Any]:
    """Its pings beside its kill and its cancel."""
    return peers.each_of(
        {
            KILL_PINGED: lambda: _measured(rows, ENDPOINT_PINGS, _by_endpoint, rate),
            CANCEL_PINGED: lambda: _measured(rows, CANCEL_PINGS, _cancelled, rate, later=False),
        }
    )


def show(figures: dict[str, Any], ours: dict[str, float]) -> None:
    """Print the tables, and how many times as fast this service was in the same run, by the name of its job."""
    keys = ("rows", "seconds", "ended_per_second", "load_average")
    print_table("Restate", _HEAD, [[name, *[each[key] for key in keys]] for name, each in figures.items()])
    times = [[name, *[rate / each["ended_per_second"] for each in figures.values()]] for name, rate in ours.items()]
    print_table("This service is x", ("this service", *figures), times)
    print_pings({name: each for name, each in figures.items() if "idle" in each}, "Restate: a call to its answer, ms")


def _by_endpoint(made: Restate, rows: int) -> tuple[float, float]:
    ids = made.ids()
    if len(ids) != rows:
        raise BenchError(f"Restate: {len(ids):,} rows of {rows:,}")
    began = time.time()
    made.batches("kill", ids)
    return began, time.time()


def _by_command_line(made: Restate, rows: int) -> tuple[float, float]:
    began = time.time()
    made.command_line("kill", rows)
    return began, time.time()


def _cancelled(made: Restate, rows: int) -> tuple[float, float]:
    began = time.time()
    made.command_line("cancel", rows)
    while made.count(_NOT_ENDED):
        if time.time() - began > _ENDED_WITHIN_S:
            raise BenchError("Restate: cancelled rows do not end")
        time.sleep(_LOOK_EVERY_S)
    return began, time.time()


_NOT_ENDED = "status <> 'completed'"


def _measured(
    rows: int, name: str, end: Callable[[Restate, int], tuple[float, float]], rate: float = 0.0, *, later: bool = True
) -> dict[str, Any]:
    with restate() as made:
        made.fill(rows, later=later)
        with _pings(made, rate) as found:
            time.sleep(_WARM_UP_S)
            idle = time.time()
            time.sleep(_IDLE_S if rate else 0.0)
            say(f"Restate: {name}")
            began, ended = end(made, rows)
            time.sleep(_AFTER_S)
        left = made.count(_NOT_ENDED)
    if left:
        raise BenchError(f"Restate: {left:,} rows of {rows:,} have not ended")
    return {
        "rows": rows,
        "seconds": ended - began,
        "ended_per_second": rows / (ended - began),
        **(beside_idle(found, [(idle, began)], [(began, ended)]) if rate else {}),
        "load_average": load_average(),
    }


@contextmanager
def _pings(made: Restate, rate: float) -> Iterator[Pings]:
    """As `batch.pings`; at a rate of 0 there are none."""
    found: Pings = []
    if not rate:
        yield found
        return
    file = made.folder / "pings.json"
    with beside("bench.peers.restate.ping", made.ingress_url, str(rate), str(file)):
        yield found
    found += read_pings(file)
