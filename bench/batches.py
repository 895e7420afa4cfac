"""Twenty batches at once on the same rows, five times, and what an unrelated command feels of them each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.lib import rounds, workload
from bench.lib.options import add_rows
from bench.lib.service import PARTITIONS, say, service
from streams.client import new_batch_id
from streams.model import Action, Filter, StartBatch

if TYPE_CHECKING:
    import argparse

NAME = "batches"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_rows(parser)
    rounds.add_batches(parser)


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of the batches."""
    return {"on the same rows": _alike(bootstrap, options.rows, options.batches)}


show = rounds.show


def _alike(bootstrap: str, count: int, batches: int) -> dict[str, Any]:
    """Figures of each round: a fifth of the table is killed by all of the batches together."""
    say(f"making {count:,} commands")
    records = list(workload.rounds(workload.ids(count), PARTITIONS, rounds.ROUNDS))
    with service(bootstrap, "batches") as made:
        made.load(records, "batches")
        sets = [_kills(number, batches) for number in range(rounds.ROUNDS)]
        figures = rounds.measured(made, sets)
    for number, each in enumerate(figures["rounds"]):
        rounds.require_sum(each, sum(1 for row in range(count) if row % rounds.ROUNDS == number))
    return {"batches": batches, **figures}


def _kills(number: int, count: int) -> list[StartBatch]:
    """All of them match the same rows, so that each row is wanted by all and ended by one."""
    wanted = Filter(services=(workload.round_service(number),))
    return [StartBatch(new_batch_id(), Action.KILL, wanted) for _ in range(count)]
