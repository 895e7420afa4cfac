"""Measure the service on a real broker: `python -m bench WHAT [--broker HOST:PORT]`.

All figures come from one configuration: the worker's default settings. `gate` needs no broker.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any, Protocol

from bench import applied, batches, cancel, compare, doomed, flows, http, kill, latency, listing, retention
from bench.gate import run as gate
from bench.lib.batch import warm_up
from bench.lib.options import WORKERS
from bench.lib.report import loops_a_second, machine, write
from streams import broker


class Measure(Protocol):
    """A module that measures one thing; its first line is its help."""

    NAME: str
    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Its own options."""

    def measure(self, bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
        """Its figures, for JSON and for `show`."""

    def show(self, figures: dict[str, Any]) -> None:
        """Print them as tables."""


MEASURES: tuple[Measure, ...] = (
    applied,
    kill,
    latency,
    cancel,
    doomed,
    batches,
    flows,
    listing,
    http,
    retention,
    compare,
)
_ALL: tuple[Measure, ...] = (applied, kill)


def main() -> None:
    """Measure what is asked for, print it and keep it."""
    options = parse(sys.argv[1:])
    if options.what == gate.NAME:
        sys.exit(gate.check(options))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    figures: dict[str, Any] = {"machine": machine()}
    try:
        with broker.start(options.broker, lasting=True) as kafka:
            figures["broker"] = kafka.label
            warm_up(kafka.bootstrap, max(vars(options).get("workers", WORKERS)))
            for each in options.measures:
                figures[each.NAME] = each.measure(kafka.bootstrap, options)
    finally:
        # What was measured before an interruption counts too.
        measured = [each for each in options.measures if each.NAME in figures]
        if measured:
            sys.stderr.write("\n")
            figures["machine"]["loops_at_end"] = loops_a_second()
            _show(figures, measured)
            print(f"JSON: {write(options.what, figures, options.json)}")


def parse(words: list[str]) -> argparse.Namespace:
    """The command line; without a name it is about `all`."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = parser.add_subparsers(dest="what", metavar="WHAT")
    everything = ("all", "applied and kill; so it is without a name", _ALL)
    for name, what, measures in (everything, *((each.NAME, each.__doc__ or "", (each,)) for each in MEASURES)):
        # Of two measures with the same option it is given once.
        own = names.add_parser(name, help=what.splitlines()[0], description=what, conflict_handler="resolve")
        own.set_defaults(measures=measures)
        own.add_argument(
            "--broker", default=os.environ.get("BROKER") or "apache", help="HOST:PORT, or the kind to start"
        )
        own.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there, not in bench/results/")
        for each in measures:
            each.add_arguments(own)
    own = names.add_parser(gate.NAME, help=(gate.__doc__ or "").splitlines()[0], description=gate.__doc__)
    gate.add_arguments(own)
    named = words[:1] and (not words[0].startswith("-") or words[0] in {"-h", "--help"})
    return parser.parse_args(words if named else ["all", *words])


def _show(figures: dict[str, Any], measured: list[Measure]) -> None:
    on = figures["machine"]
    print(f"{on['cpus']} x {on['cpu']}, Python {on['python']}, {figures['broker']}, load {on['load_average']} at start")
    print(f"millions of additions a second, one processor: {on['loops']} at start, {on['loops_at_end']} at end")
    for each in measured:
        each.show(figures[each.NAME])


if __name__ == "__main__":
    main()
