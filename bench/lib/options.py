"""Options that several measures have."""

from __future__ import annotations

import argparse

WORKERS = [1]
RATE = 100.0
"""Pings a second."""


def add_rows(parser: argparse.ArgumentParser) -> None:
    """How large the table is."""
    parser.add_argument("--rows", type=int, default=1_000_000, help="in the table that is killed, cancelled, doomed")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """How many workers."""
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, help="how many, one after the other")


def add_rate(parser: argparse.ArgumentParser) -> None:
    """How many pings."""
    parser.add_argument("--rate", type=float, default=RATE, help=f"pings a second, sent on time (default {RATE:.0f})")


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Whether a worker is profiled."""
    parser.add_argument("--profile", action="store_true", help="say also where the worker's time goes (py-spy)")


def add_peers(parser: argparse.ArgumentParser) -> None:
    """Whether others do the same in this run, and how much of it."""
    parser.add_argument(
        "--peers", action=argparse.BooleanOptionalAction, default=False, help="with others that do the same, and ratios"
    )
    parser.add_argument("--peer-rows", type=int, default=100_000, help="that Restate kills or cancels each time")
    parser.add_argument("--faust-commands", type=int, default=40_000, help="fewer, as Faust takes long")
