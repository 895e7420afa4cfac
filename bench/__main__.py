"""Measure the service on a real broker: `python -m bench WHAT [--broker HOST:PORT] [--json FILE]`.

All figures come from one configuration: the worker's default settings. What is not at its default is printed.
`gate` and `table` need no broker.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import signal
import sys
from pathlib import Path
from typing import Any, Protocol

from bench import (
    apply,
    batches,
    cancel,
    commandline,
    compare,
    doomed,
    flows,
    growth,
    http,
    kill,
    latency,
    life,
    listing,
    memory,
    needle,
    parts,
    restart,
    restore,
    retention,
    unlike,
)
from bench.gate import run as gate
from bench.lib import page
from bench.lib.batch import warm_up
from bench.lib.options import WORKERS
from bench.lib.report import loops_a_second, machine, write
from bench.lib.service import NOT_DEFAULT, BenchError, say
from bench.lib.targets import GOALS
from streams import broker

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
ALL = "all"
_ELSEWHERE = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
_ELSEWHERE.add_argument("--json")
_ELSEWHERE.add_argument("--broker")
_ONCE = ["growth", "needle", "memory"]
"""Of all: with ten million rows or commands."""


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
    apply,
    life,
    kill,
    cancel,
    flows,
    latency,
    growth,
    needle,
    restart,
    restore,
    memory,
    listing,
    commandline,
    unlike,
    doomed,
    batches,
    retention,
    http,
    compare,
)
_OF_TARGETS = tuple(each for each in MEASURES if each.NAME in {goal.measure for goal in GOALS})


def main() -> None:
    """Measure what is asked for, print it and keep it."""
    options = parse(sys.argv[1:])
    if options.what == gate.NAME:
        sys.exit(gate.check(options))
    if options.what == parts.NAME:
        sys.exit(_together(options))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    now = dt.datetime.now(tz=dt.UTC)
    figures: dict[str, Any] = {
        "at": now.isoformat(timespec="seconds"),
        "commands": [_command(sys.argv[1:])],
        "machine": machine(),
        "runs": [],
        "failed": [],
    }
    try:
        with broker.start(options.broker, lasting=True) as kafka:
            figures["broker"] = kafka.label
            if options.warm_up:
                warm_up(kafka.bootstrap, max(vars(options).get("workers", WORKERS)))
            for number in range(options.runs):
                figures["runs"].append({})
                _run(kafka.bootstrap, options, number, figures)
    finally:
        # What was measured before an interruption counts too.
        figures["machine"]["loops_at_end"] = loops_a_second()
        figures["settings"] = dict(NOT_DEFAULT)
        if any(figures["runs"]):
            sys.stderr.write("\n")
            _show(figures, options.measures)
            print(f"JSON: {write(options.what, figures, options.json)}")
    if options.what == ALL and options.page is not None:
        page.put(options.page, page.table(figures | {"about": _about(options)}))
        print(f"the table of targets: {options.page}")
    if figures["failed"]:
        sys.exit("could not be measured:\n" + "\n".join(figures["failed"]))


def _run(bootstrap: str, options: argparse.Namespace, number: int, figures: dict[str, Any]) -> None:
    """One run of all measures but those that were measured once already; one that fails does not end the others."""
    for each in options.measures:
        if each.NAME not in (options.only or [each.NAME]) or (number and each.NAME in options.once):
            continue
        say(f"run {number + 1} of {options.runs}: {each.NAME}")
        try:
            figures["runs"][-1][each.NAME] = each.measure(bootstrap, options)
        except BenchError as error:
            say(f"{each.NAME}: {error}")
            figures["failed"].append(f"run {number + 1}, {each.NAME}: {error}")


def _together(options: argparse.Namespace) -> int:
    try:
        parts.write(options)
    except (OSError, ValueError) as error:
        print(f"{parts.NAME}: {error}", file=sys.stderr)
        return 1
    print(f"the table of targets: {options.page}")
    return 0


def _command(words: list[str]) -> str:
    """What was called, but for where the figures went and where the broker is: nobody else has these."""
    return " ".join(["python -m bench", *_ELSEWHERE.parse_known_args(words)[1]])


def parse(words: list[str]) -> argparse.Namespace:
    """The command line; without a name it is about apply and kill."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = parser.add_subparsers(dest="what", metavar="WHAT")
    for each in MEASURES:
        _add(names, each.NAME, each.__doc__ or "", (each,))
    _add(names, "most", "apply and kill, in some minutes; so it is without a name", (apply, kill))
    everything = _add(names, ALL, "every figure with a target, and the table of docs/performance.md", _OF_TARGETS)
    everything.set_defaults(peers=True, once=_ONCE)
    of_targets = [each.NAME for each in _OF_TARGETS]
    everything.add_argument("--only", nargs="+", choices=of_targets, metavar="WHAT", help="of these; else of all")
    everything.add_argument(
        "--page", type=Path, default=PAGE, help="the page that has the table (default: %(default)s)"
    )
    everything.add_argument("--no-page", dest="page", action="store_const", const=None, help="leave the page alone")
    own = names.add_parser(gate.NAME, help=(gate.__doc__ or "").splitlines()[0], description=gate.__doc__)
    gate.add_arguments(own)
    own = names.add_parser(parts.NAME, help=(parts.__doc__ or "").splitlines()[0], description=parts.__doc__)
    parts.add_arguments(own, PAGE)
    named = words[:1] and (not words[0].startswith("-") or words[0] in {"-h", "--help"})
    return parser.parse_args(words if named else ["most", *words])


def _add(names: Any, name: str, what: str, measures: tuple[Measure, ...]) -> argparse.ArgumentParser:
    # Of two measures with the same option it is given once.
    own: argparse.ArgumentParser = names.add_parser(
        name, help=what.splitlines()[0], description=what, conflict_handler="resolve"
    )
    own.set_defaults(measures=measures, only=None)
    own.add_argument("--broker", default=os.environ.get("BROKER") or "apache", help="HOST:PORT, or the kind to start")
    own.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there, not in bench/results/")
    own.add_argument("--runs", type=int, default=1, help="how often each is measured, all in turn")
    own.add_argument("--once", nargs="*", default=[], metavar="WHAT", help="only in the first run, as they take long")
    own.add_argument(
        "--no-warm-up", dest="warm_up", action="store_false", help="not for figures: a cold broker is slower"
    )
    for each in measures:
        each.add_arguments(own)
    return own


def _about(options: argparse.Namespace) -> str:
    """Sizes of what was measured."""
    sizes = ", ".join(f"{size:,}" for size in options.sizes)
    return (
        f"4 partitions, one worker, {options.rows:,} rows, {options.commands:,} commands; tables that grow: {sizes}; "
        f"one row among {options.haystack:,}; {options.peer_rows:,} rows of Restate's"
    )


def _show(figures: dict[str, Any], measures: tuple[Measure, ...]) -> None:
    on = figures["machine"]
    print(f"{on['cpus']} x {on['cpu']}, Python {on['python']}, {figures['broker']}, load {on['load_average']} at start")
    print(f"millions of additions a second, one processor: {on['loops']} at start, {on['loops_at_end']} at end")
    print(page.settings_line(figures["settings"]))
    for number, run in enumerate(figures["runs"]):
        if len(figures["runs"]) > 1:
            print(f"\nrun {number + 1}")
        for each in measures:
            if each.NAME in run:
                each.show(run[each.NAME])


if __name__ == "__main__":
    main()
