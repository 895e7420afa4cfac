"""Twenty unlike batches at once, each on rows of its own: as `batches --unlike`."""

from __future__ import annotations

import argparse
from typing import Any

from bench import batches
from bench.lib.options import add_rows, add_workers

NAME = "unlike"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_rows(parser)
    add_workers(parser)
    parser.add_argument("--batches", type=int, default=20, help="how many at once")


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures with each count of workers."""
    return batches.measure(bootstrap, argparse.Namespace(**vars(options) | {"unlike": True}))


show = batches.show
