"""Twenty unlike batches at once, each on rows of its own, five times; pings beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.lib import rounds
from bench.lib.batch import run
from bench.lib.options import add_rows, add_workers
from bench.lib.service import PARTITIONS, by, say, service
from bench.lib.unlike import unlike

if TYPE_CHECKING:
    import argparse

NAME = "unlike"
_GRACE_MS = 1_000
"""What a cancel waits for is over then: nobody answers it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_rows(parser)
    add_workers(parser)
    rounds.add_batches(parser)


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures with each count of workers: each of a round's batches has its part of a fifth of the table."""
    count, batches = options.rows, options.batches
    figures: dict[str, Any] = {}
    for workers in options.workers:
        say(f"making {count:,} commands")
        each = count // rounds.ROUNDS // batches
        sets = [
            list(unlike(each, PARTITIONS, count=batches, name=f"round-{number}-", grace_ms=_GRACE_MS))
            for number in range(rounds.ROUNDS)
        ]
        name = by(workers, "unlike")
        with service(bootstrap, "unlike", workers) as made:
            made.load([record for made in sets for one in made for record in one.records], name)
            say(f"{name}: its rows are prepared")
            run(made, [one.before for made in sets for one in made if one.before is not None])
            found = rounds.measured(made, [[one.batch for one in each] for each in sets])
        for round_, set_ in zip(found["rounds"], sets, strict=True):
            rounds.require_sum(round_, sum(one.matched for one in set_))
        figures[name] = {"batches": batches, **found}
    return figures


show = rounds.show
