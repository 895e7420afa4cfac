"""The kill of a flow, member by member on all partitions, beside a batch over the same kind of rows."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, TopicPartition

from bench.lib import workload
from bench.lib.batch import beside_idle, pings, print_pings, run
from bench.lib.options import add_workers
from bench.lib.report import load_average, print_table
from bench.lib.service import BenchError, Service, by, say, service
from streams import codec
from streams.client import Client, new_batch_id
from streams.config import Topic
from streams.model import (
    Action,
    CancelFlow,
    CancelPolicy,
    ContinueFlow,
    ContinueSlice,
    Filter,
    FlowAction,
    FlowProgress,
    FlowState,
    StartBatch,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from bench.lib.workload import Record

NAME = "flows"
_WARM_UP_S = 12.0
_IDLE_S = 8.0
_REST_S = 3.0
_WITHIN_S = 600.0

_HEAD = (
    "killed",
    "rounds",
    "rows each",
    "seconds",
    "ended/s",
    "of a batch",
    "CPU us each",
    "pages",
    "of at most",
    "load",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--members", type=int, default=200_000, help="of each flow, and rows of each batch")
    parser.add_argument("--partitions", type=int, default=4, help="number of partitions")
    parser.add_argument("--rounds", type=int, default=3, help="batches and flows, in turn")
    add_workers(parser)


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of batches and flows in turn, in one table, with each count of workers."""
    figures: dict[str, Any] = {}
    for workers in options.workers:
        say("making commands")
        records: list[Record] = []
        for number in range(options.rounds):
            for flow_id, service_ in ((None, workload.round_service(number)), (_flow(number), workload.OTHER)):
                names = workload.ids(options.members)
                records += workload.halves(names, options.partitions, service_, flow_id)
        with service(bootstrap, "flows", workers, options.partitions) as made:
            made.load(records, by(workers, NAME))
            for number in range(options.rounds):
                _await_flow(made, _flow(number), lambda found: found.members == options.members)
            found = _measure(made, options.members, options.rounds)
        figures |= {by(workers, kind): each for kind, each in found.items()}
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the tables; figures are medians of the rounds, pings those of all rounds."""
    keys = (
        "rounds",
        "rows",
        "seconds",
        "ended_per_second",
        "of_a_batch",
        "cpu_us_each",
        "pages",
        "page_median",
        "load_average",
    )
    shown = [[name, *[each[key] for key in keys]] for name, each in figures.items()]
    print_table("Killed in turn: scheduled and running rows, half of each", _HEAD, shown)
    print_pings(figures)


def _flow(number: int) -> str:
    return f"flow-{number}"


def _measure(made: Service, members: int, rounds: int) -> dict[str, dict[str, Any]]:
    """The figures of batches and of flows."""
    windows: dict[str, list[tuple[float, float, float]]] = {"batch": [], "flow": []}
    used: dict[str, list[float]] = {"batch": [], "flow": []}
    pages: dict[str, list[int]] = {"batch": [], "flow": []}
    with pings(made) as found:
        time.sleep(_WARM_UP_S)
        for number in range(rounds):
            for kind, kill in (("batch", _kill_batch), ("flow", _kill_flow)):
                say(f"flows: round {number + 1} of {rounds}, {kind}")
                begins = made.ends(Topic.COMMANDS)
                began, cpu = time.time(), made.cpu_s()
                time.sleep(_IDLE_S)
                idle = made.cpu_s() - cpu
                sent, finished = kill(made, number, members)
                # The pings cost something in any case.
                spent = made.cpu_s() - cpu - idle - idle * (finished - sent) / _IDLE_S
                windows[kind].append((began, sent, finished))
                used[kind].append(spent * 1e6 / members)
                time.sleep(_REST_S)
                pages[kind] += _pages(made, begins)
    seconds = {kind: [finished - sent for _, sent, finished in each] for kind, each in windows.items()}
    return {
        kind: {
            "rounds": rounds,
            "rows": members,
            "seconds": median(seconds[kind]),
            "seconds_of_each": seconds[kind],
            "ended_per_second": members / median(seconds[kind]),
            "of_a_batch": median(seconds["batch"]) / median(seconds[kind]),
            "cpu_us_each": median(used[kind]),
            **beside_idle(found, [(began, sent) for began, sent, _ in each], [(sent, over) for _, sent, over in each]),
            "pages": len(pages[kind]) / rounds,
            "page_median": median(pages[kind]),
            "load_average": load_average(),
        }
        for kind, each in windows.items()
    }


def _pages(made: Service, begins: list[int]) -> list[int]:
    """Limits of the pages since then: rows of a slice's, members that a flow's asks."""
    messages = made.read(Topic.COMMANDS, begins, made.ends(Topic.COMMANDS))
    commands = (codec.decode(message.value()) for message in messages)
    return [each.max_matched for each in commands if isinstance(each, (ContinueSlice, ContinueFlow))]


def _kill_batch(made: Service, number: int, rows: int) -> tuple[float, float]:
    """When the batch was sent and when it had COMPLETED; all of its rows must have been done by it."""
    batch = StartBatch(new_batch_id(), Action.KILL, Filter(services=(workload.round_service(number),)))
    ran = run(made, [batch])
    if (done := ran.total(batch.batch_id, "done")) != rows:
        raise BenchError(f"{done:,} ended, and {rows:,} should have")
    return ran.sent, ran.finished


def _kill_flow(made: Service, number: int, members: int) -> tuple[float, float]:
    """When the kill was sent and when the flow was CANCELLED; its numbers must be exact."""
    flow_id = _flow(number)
    with Client(made.settings) as client:
        sent = time.time()
        client.send(CancelFlow(flow_id, FlowAction.KILL, CancelPolicy.CANCEL_ALL))
    found = _await_flow(made, flow_id, lambda flow: flow.state is FlowState.CANCELLED)
    finished = time.time()
    numbers = (found.members, found.live, found.pending, found.ended, found.kept, found.failed)
    if numbers != (members, 0, 0, members, 0, 0):
        raise BenchError(f"flow {flow_id} does not add up: {found}")
    return sent, finished


def _await_flow(made: Service, flow_id: str, done: Callable[[FlowProgress], bool]) -> FlowProgress:
    """The flow's first progress for which that is so."""
    consumer = Consumer(
        {
            **made.settings.kafka_properties(),
            "group.id": "none",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    deadline = time.monotonic() + _WITHIN_S
    try:
        topic = made.settings.topic(Topic.FLOWS)
        consumer.assign([TopicPartition(topic, p, 0) for p in range(made.partitions)])
        while time.monotonic() < deadline:
            made.require_workers()
            message: Any = consumer.poll(1.0)
            if message is None or message.error() is not None or message.key() != flow_id.encode():
                continue
            progress = codec.decode(message.value())
            if isinstance(progress, FlowProgress) and done(progress):
                return progress
        raise BenchError(f"flow {flow_id} did not get there within {_WITHIN_S:.0f} s")
    finally:
        consumer.close()
