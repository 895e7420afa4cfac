"""Measure the service on a real broker: `python -m bench applied|kill|latency|compare|all [--broker HOST:PORT]`.

All figures come from one configuration: the worker's default settings.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Any

from bench import applied, compare, kill, shares
from bench.report import machine, print_table, write
from streams import broker


def main() -> None:
    """Measure what is asked for, print it and keep it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", choices=["applied", "kill", "latency", "compare", "all"], nargs="?", default="all")
    parser.add_argument(
        "--broker", default=os.environ.get("BROKER") or "apache", help="HOST:PORT, or the kind to start"
    )
    parser.add_argument("--commands", type=int, default=400_000, help="to apply")
    parser.add_argument("--rows", type=int, default=1_000_000, help="in the table that is killed")
    parser.add_argument("--no-restore", action="store_true", help="without restart and restore of that table")
    parser.add_argument("--profile", action="store_true", help="say also where the worker's time goes (py-spy)")
    parser.add_argument("--quix-python", help="of compare: an interpreter that has quixstreams and fastavro")
    parser.add_argument("--faust-commands", type=int, default=40_000, help="of compare: fewer, as Faust takes long")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    figures: dict[str, Any] = {"machine": machine()}
    try:
        with broker.start(options.broker) as kafka:
            figures["broker"] = kafka.label
            _measure(options, kafka.bootstrap, figures)
    finally:
        # What was measured before an interruption counts too.
        if figures.keys() & {"applied", "kill", "compare"}:
            sys.stderr.write("\n")
            _show(figures, options.what)
            print(f"JSON: {write(options.what, figures)}")


def _measure(options: argparse.Namespace, bootstrap: str, figures: dict[str, Any]) -> None:
    if options.what in ("applied", "all"):
        figures["applied"] = applied.measure(bootstrap, options.commands, profile=options.profile)
    if options.what in ("kill", "latency", "all"):
        restore = not options.no_restore and options.what != "latency"
        figures["kill"] = kill.measure(bootstrap, options.rows, restore=restore, profile=options.profile)
    if options.what == "compare":
        figures["compare"] = compare.measure(bootstrap, options.commands, options.faust_commands, options.quix_python)


def _show(figures: dict[str, Any], what: str) -> None:
    on = figures["machine"]
    print(f"{on['cpus']} x {on['cpu']}, Python {on['python']}, {figures['broker']}, load {on['load_average']} at start")
    if "applied" in figures:
        print_table("Commands applied by one worker", applied.HEAD, applied.rows(figures["applied"]))
    if "kill" in figures:
        if what != "latency":
            print_table("Killed by one batch, pings beside it", kill.HEAD_KILL, kill.kill_rows(figures["kill"]))
        print_table("From a ping to its signal, ms", kill.HEAD_PING, kill.ping_rows(figures["kill"]))
        if what != "latency":
            print_table("The table", kill.HEAD_STATE, kill.state_rows(figures["kill"]))
    if "compare" in figures:
        print_table(
            "The same job: Avro in, row, signal out, exactly once", compare.HEAD, compare.rows(figures["compare"])
        )
    for name, each in {**figures.get("applied", {}), **figures.get("kill", {})}.items():
        if each["profile"]:
            shares.show(f"Where the worker's time goes: {name}", each["profile"])


if __name__ == "__main__":
    main()
