"""Only the pings beside a kill, without restart and restore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import kill
from bench.lib.batch import print_pings
from bench.lib.shares import show_profiles

if TYPE_CHECKING:
    import argparse

NAME = "latency"
add_arguments = kill.add_arguments


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of such a kill."""
    options.no_restore = True
    return kill.measure(bootstrap, options)


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    print_pings(figures)
    show_profiles(figures)
