"""Lists, counts and single invocations: what an unrelated command feels of them, and a kill."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from bench.lib import workload
from bench.lib.batch import beside_idle, pings, print_pings, run
from bench.lib.options import add_rows
from bench.lib.report import load_average, percentile, print_table
from bench.lib.service import PARTITIONS, BenchError, Service, say, service
from streams.client import new_batch_id
from streams.listing.fanout import FanOut
from streams.listing.query import MAX_LIMIT, CountQuery, GroupBy, ListQuery, OneQuery
from streams.model import ENGINE_VERSION, Action, Filter, StartBatch, Status, WorkerAddress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

NAME = "list"
_WARM_UP_S = 12.0
_IDLE_S = 10.0
_EACH_S = 10.0
_REST_S = 1.0
_KILLS = 6
_BESIDE = ("kill alone", "kill beside lists")
_WALK = "list of all"
_PAUSE_S = 0.05
"""Between two questions of the one who asks: more than a person, as much as a page with a few tabs."""

_SOME = Filter(services=(workload.round_service(0),), statuses=(Status.SCHEDULED, Status.RUNNING))
_ABSENT = Filter(labels={"no": "such label"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_rows(parser)


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of each kind of question, asked one after the other beside pings, of a table that one worker has."""
    say(f"making {2 * options.rows:,} commands")
    names = workload.ids(2 * options.rows)
    records = list(workload.rounds(names, PARTITIONS, _KILLS))
    with service(bootstrap, "list", 1) as made:
        made.load(records[: options.rows], NAME, STREAMS_WORKER_HTTP="127.0.0.1:0")
        (line,) = made.await_event("serving metrics and health", 1)
        url = f"http://{line['host']}:{line['port']}"
        return asyncio.run(_measure(made, url, names, records[options.rows :]))


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    head = ("asked", "answers", "p50 ms", "p99", "max", "load")
    keys = ("answers", "p50", "p99", "max", "load")
    shown = [[name, *[each[key] for key in keys]] for name, each in figures.items() if "answers" in each]
    print_table("Questions, one at a time", head, shown)
    memory = [
        [name, each["listed"], *each["memory_mb"], each["load"]] for name, each in figures.items() if "listed" in each
    ]
    print_table("Worker memory, MB, early and at the end", ("walk", "rows", "early", "end", "load"), memory)
    kills = [
        [name, each["rows"], each["ended_per_second"], each["load"]] for name, each in figures.items() if "rows" in each
    ]
    print_table("Kills in turn", ("killed", "rows each", "ended/s, median", "load"), kills)
    print_pings(figures)


async def _measure(made: Service, url: str, names: list[str], more: list[workload.Record]) -> dict[str, Any]:
    addresses = {number: WorkerAddress(number, url, "w", ENGINE_VERSION, 0, 0) for number in range(PARTITIONS)}
    fan = FanOut(lambda: addresses, lambda: PARTITIONS)
    kinds: dict[str, Callable[[], Awaitable[Any]]] = {
        "one of all": lambda: fan.one(OneQuery(names[0])),
        "list 50, service and status": lambda: fan.page(ListQuery(_SOME, 50)),
        "list 500": lambda: fan.page(ListQuery(limit=500)),
        "list, nothing matches": lambda: fan.page(ListQuery(_ABSENT, 50)),
        "count of all": lambda: fan.counts(CountQuery()),
        "count, service and status": lambda: fan.counts(CountQuery(_SOME)),
        "count, a label": lambda: fan.counts(CountQuery(_ABSENT)),
        **{f"count by {each}": partial(fan.counts, CountQuery(group_by=each)) for each in GroupBy},
    }
    figures: dict[str, Any] = {}
    windows: dict[str, list[tuple[float, float]]] = {}
    with pings(made) as found:
        await asyncio.sleep(_WARM_UP_S)
        began = time.time()
        await asyncio.sleep(_IDLE_S)
        idle = began, time.time()
        for kind, ask in kinds.items():
            say(f"{NAME}: {kind}")
            began = time.time()
            figures[kind] = await _asked(ask)
            windows[kind] = [(began, time.time())]
            await asyncio.sleep(_REST_S)
        began = time.time()
        figures[_WALK] = await _walked(made, fan, len(names) // 2)
        windows[_WALK] = [(began, time.time())]
        ends = await asyncio.to_thread(made.preload, more, NAME)
        await asyncio.to_thread(made.await_applied, ends, NAME)
        await asyncio.sleep(_IDLE_S)
        windows |= await _kills(made, kinds["list 50, service and status"], kinds["count, service and status"])
    await fan.close()
    rows = len(names) // _KILLS
    for kind, spans in windows.items():
        figures.setdefault(kind, {}).update(**beside_idle(found, [idle], spans), load=load_average())
        if kind in _BESIDE:
            figures[kind] |= {"rows": rows, "ended_per_second": median(rows / (end - begin) for begin, end in spans)}
    return figures


async def _kills(made: Service, *asks: Callable[[], Awaitable[Any]]) -> dict[str, list[tuple[float, float]]]:
    """When kills ran, each of other rows: alone, and beside one who asks."""
    windows: dict[str, list[tuple[float, float]]] = {name: [] for name in _BESIDE}
    for number in range(_KILLS):
        name = _BESIDE[number % 2]
        say(f"{NAME}: {name}")
        batch = StartBatch(new_batch_id(), Action.KILL, Filter(services=(workload.round_service(number),)))
        killing = asyncio.create_task(asyncio.to_thread(run, made, [batch]))
        while not killing.done():
            if number % 2:
                for ask in asks:
                    await ask()
            await asyncio.sleep(_PAUSE_S)
        ran = await killing
        windows[name].append((ran.sent, ran.finished))
        await asyncio.sleep(_REST_S)
    return windows


async def _walked(made: Service, fan: FanOut, rows: int) -> dict[str, Any]:
    """A list of everything to its end, and the worker's memory after a tenth of it and then."""
    listed, query, memory = 0, ListQuery(limit=MAX_LIMIT), list[float]()
    while True:
        page = await fan.page(query)
        listed += len(page.items)
        if not memory and listed >= rows / 10:
            memory.append(made.memory_mb()["now"])
        if page.next_cursor is None:
            return {"listed": listed, "memory_mb": [*memory, made.memory_mb()["now"]]}
        query = replace(query, cursor=page.next_cursor)


async def _asked(ask: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    took = []
    until = time.monotonic() + _EACH_S
    while time.monotonic() < until:
        began = time.perf_counter()
        answer = await ask()
        took.append(1_000 * (time.perf_counter() - began))
        if getattr(answer, "missing_partitions", ()) or getattr(answer, "missing", False):
            raise BenchError(f"a partition gave no answer: {answer}")
        await asyncio.sleep(_PAUSE_S)
    return {"answers": len(took), "p50": percentile(took, 0.5), "p99": percentile(took, 0.99), "max": max(took)}
