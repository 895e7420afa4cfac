"""Twenty unlike batches at once, each on rows of its own, five times; pings beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import batches
from bench.lib.options import add_rows, add_workers

if TYPE_CHECKING:
    import argparse

NAME = "unlike"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_rows(parser)
    add_workers(parser)
    parser.add_argument("--batches", type=int, default=20, help="how many at once")


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures with each count of workers."""
    return batches.measure_unlike(bootstrap, options.rows, options.batches, options.workers)


show = batches.show
