"""Measure the service on a real broker: `python -m bench WHAT [--broker HOST:PORT]`.

All figures come from one configuration: the worker's default settings.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Any

from bench import applied, batches, cancel, compare, doomed, kill, retention, shares
from bench.report import loops_a_second, machine, print_table, write
from streams import broker

_WHAT = ("applied", "kill", "latency", "cancel", "doomed", "batches", "retention", "compare", "all")


def main() -> None:
    """Measure what is asked for, print it and keep it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", choices=_WHAT, nargs="?", default="all", help="all: applied and kill")
    parser.add_argument(
        "--broker", default=os.environ.get("BROKER") or "apache", help="HOST:PORT, or the kind to start"
    )
    parser.add_argument("--commands", type=int, default=400_000, help="to apply")
    parser.add_argument("--rows", type=int, default=1_000_000, help="in the table that is killed, cancelled, doomed")
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        default=[1, 2],
        help="of applied, kill, batches --unlike: with how many, one after the other",
    )
    parser.add_argument("--executor", choices=cancel.EXECUTORS, default="plain", help="of cancel: what answers")
    parser.add_argument("--form", choices=doomed.FORMS, action="append", help="of doomed: one of them; both if absent")
    parser.add_argument("--batches", type=int, default=20, help="of batches: how many at once")
    parser.add_argument("--unlike", action="store_true", help="of batches: of unlike kinds, each on rows of its own")
    parser.add_argument("--no-restore", action="store_true", help="without restart and restore of that table")
    parser.add_argument("--profile", action="store_true", help="say also where the worker's time goes (py-spy)")
    parser.add_argument("--quix-python", help="of compare: an interpreter that has quixstreams and fastavro")
    parser.add_argument("--faust-commands", type=int, default=40_000, help="of compare: fewer, as Faust takes long")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    figures: dict[str, Any] = {"machine": machine()}
    try:
        with broker.start(options.broker, lasting=True) as kafka:
            figures["broker"] = kafka.label
            _measure(options, kafka.bootstrap, figures)
    finally:
        # What was measured before an interruption counts too.
        if figures.keys() & {*_WHAT, "unlike"}:
            sys.stderr.write("\n")
            figures["machine"]["loops_at_end"] = loops_a_second()
            _show(figures, options.what)
            print(f"JSON: {write(options.what, figures)}")


def _measure(options: argparse.Namespace, bootstrap: str, figures: dict[str, Any]) -> None:
    kill.warm_up(bootstrap, max(options.workers))
    if options.what in ("applied", "all"):
        figures["applied"] = applied.measure(bootstrap, options.commands, options.workers, profile=options.profile)
    if options.what in ("kill", "latency", "all"):
        restore = not options.no_restore and options.what != "latency"
        figures["kill"] = kill.measure(
            bootstrap, options.rows, options.workers, restore=restore, profile=options.profile
        )
    if options.what == "cancel":
        figures["cancel"] = cancel.measure(bootstrap, options.rows, options.executor)
    if options.what == "doomed":
        figures["doomed"] = doomed.measure(bootstrap, options.rows, options.form or doomed.FORMS)
    if options.what == "batches" and options.unlike:
        figures["unlike"] = batches.measure_unlike(bootstrap, options.rows, options.batches, options.workers)
    elif options.what == "batches":
        figures["batches"] = batches.measure(bootstrap, options.rows, options.batches)
    if options.what == "retention":
        figures["retention"] = retention.measure(bootstrap, options.rows)
    if options.what == "compare":
        figures["compare"] = compare.measure(bootstrap, options.commands, options.faust_commands, options.quix_python)


def _show(figures: dict[str, Any], what: str) -> None:
    on = figures["machine"]
    print(f"{on['cpus']} x {on['cpu']}, Python {on['python']}, {figures['broker']}, load {on['load_average']} at start")
    print(f"millions of additions a second, one processor: {on['loops']} at start, {on['loops_at_end']} at end")
    if "applied" in figures:
        print_table("Commands applied", applied.HEAD, applied.rows(figures["applied"]))
    if "kill" in figures:
        if what != "latency":
            print_table("Killed by one batch, pings beside it", kill.HEAD_KILL, kill.kill_rows(figures["kill"]))
        print_table("From a ping to its signal, ms", kill.HEAD_PING, kill.ping_rows(figures["kill"]))
        if what != "latency":
            print_table("The table", kill.HEAD_STATE, kill.state_rows(figures["kill"]))
    _show_others(figures)
    for name, each in {**figures.get("applied", {}), **figures.get("kill", {})}.items():
        if each["profile"]:
            shares.show(f"Where the worker's time goes: {name}", each["profile"])


def _show_others(figures: dict[str, Any]) -> None:
    """What `all` does not measure."""
    if "cancel" in figures:
        print_table("Cancelled by one batch, answered by an executor", cancel.HEAD, cancel.rows(figures["cancel"]))
        print_table("From a ping to its signal, ms", kill.HEAD_PING, kill.ping_rows(figures["cancel"]))
    if "doomed" in figures:
        print_table("Started although a running batch matches it", doomed.HEAD, doomed.rows(figures["doomed"]))
    if "batches" in figures:
        title = f"{figures['batches']['batches']} batches at once on the same rows, pings beside them, ms"
        print_table(title, batches.HEAD, batches.rows(figures["batches"]))
    for name, each in figures.get("unlike", {}).items():
        title = f"{each['batches']} batches at once, pings beside them, ms: {name}"
        print_table(title, batches.HEAD, batches.rows(each))
    if "retention" in figures:
        print_table("Forgotten once its retention is over", retention.HEAD, retention.rows(figures["retention"]))
        print_table("From a ping to its signal, ms", kill.HEAD_PING, kill.ping_rows(figures["retention"]))
    if "compare" in figures:
        print_table(
            "The same job: Avro in, row, signal out, exactly once", compare.HEAD, compare.rows(figures["compare"])
        )


if __name__ == "__main__":
    main()
