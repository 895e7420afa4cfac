"""Commands applied per second by workers that have a backlog: invocations that start at once.

With `--peers` also the same job with Quix Streams and Faust, in this run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.lib import workload
from bench.lib.backlog import apply, show_jobs
from bench.lib.options import add_peers, add_profile, add_workers
from bench.lib.service import PARTITIONS, by, say
from bench.peers import naive

if TYPE_CHECKING:
    import argparse

NAME = "apply"
_MEMBERS = 100
"""Of each flow."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--commands", type=int, default=400_000, help="to apply")
    add_workers(parser)
    add_profile(parser)
    add_peers(parser)


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures with each count of workers, of `Invoke` alone and of those that join a flow."""
    say("making commands")
    names = workload.ids(options.commands)
    plain = list(workload.started(names, PARTITIONS))
    joining = list(workload.joining(names, PARTITIONS, _MEMBERS))
    jobs = {}
    for workers in options.workers:
        for job, records in (("invoke", plain), ("invoke with a flow", joining)):
            jobs[by(workers, job)] = apply(bootstrap, job, records, workers, profile=options.profile)
        one, other = (jobs[by(workers, job)] for job in ("invoke", "invoke with a flow"))
        other["of_plain"] = other["cpu_us_each"] / one["cpu_us_each"]
    if not options.peers:
        return {"jobs": jobs}
    return {"jobs": jobs, "peers": naive.beside(bootstrap, plain, len(plain), options.faust_commands)}


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    show_jobs(figures["jobs"])
    if "peers" in figures:
        naive.show(figures["peers"], "Invoke")
