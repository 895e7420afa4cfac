"""Options that several measures have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser

WORKERS = [1, 2]


def add_rows(parser: ArgumentParser) -> None:
    """How large the table is."""
    parser.add_argument("--rows", type=int, default=1_000_000, help="in the table that is killed, cancelled, doomed")


def add_workers(parser: ArgumentParser, only: str = "") -> None:
    """How many workers; `only`: when that counts."""
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, help=f"{only}how many, one after the other")


def add_profile(parser: ArgumentParser) -> None:
    """Whether a worker is profiled."""
    parser.add_argument("--profile", action="store_true", help="say also where the worker's time goes (py-spy)")
