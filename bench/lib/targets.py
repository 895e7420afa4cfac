"""The figures to reach: where each is found in what the measures give, and how much it must be."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.peers import naive
from bench.peers.restate import measure as restate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Goal(NamedTuple):
    """One line of the table. `value` takes a measure's figures; KeyError: not measured, such as without a peer."""

    what: str
    measure: str
    value: Callable[[Any], float]
    least: float | None = None
    most: float | None = None
    unit: str = ""
    """`x`: a ratio; else what follows the figure."""

    @property
    def target(self) -> str:
        """As people read it; nothing when there is none."""
        bounds = [(">=", self.least), ("<=", self.most)]
        return ", ".join(f"{sign} {shown(bound, self.unit)}" for sign, bound in bounds if bound is not None)

    def reached(self, values: Sequence[float]) -> bool:
        """True if the median is within the bounds."""
        middle = median(values)
        return (self.least is None or middle >= self.least) and (self.most is None or middle <= self.most)


def shown(value: float, unit: str) -> str:
    """The figure with as many digits as say something."""
    size = abs(value)
    whole = value == int(value) or size >= 100
    text = f"{value:,.0f}" if whole else f"{value:.1f}" if size >= 10 else f"{value:.3g}"
    if unit == "x":
        return f"x {text}"
    return f"{text}{unit}" if unit.startswith("/") else f"{text} {unit}".rstrip()


def at(figures: Any, *path: str) -> float:
    """The figure at the end of the path."""
    for name in path:
        figures = figures[name]
    return float(figures)


def _at(*path: str) -> Callable[[Any], float]:
    return lambda figures: at(figures, *path)


def _times(figures: Any, peer: str) -> float:
    """How many times as fast this service was as one that did the same job."""
    peers = figures["peers"]
    return at(peers, naive.OWN, "per_second") / at(peers, peer, "per_second")


def _times_restate(figures: Any, job: str, peer: str) -> float:
    return at(figures, "jobs", job, "ended_per_second") / at(figures, "peers", peer, "ended_per_second")


def _restored(figures: Any) -> float:
    own = min(each["rows_per_second"] for each in figures["jobs"].values())
    return float(own / at(figures, "peers", naive.QUIX, "rows_per_second"))


def _of_restates_p99(figures: Any, kind: str) -> float:
    peer = restate.CANCEL_PINGED if kind == "cancelled" else restate.KILL_PINGED
    return at(figures, "jobs", kind, "during", "p99") / at(figures, "peers", peer, "during", "p99")


def _worst(figures: Any, *path: str) -> float:
    return max(at(each, *path) for each in figures.values())


def _lost(figures: Any) -> float:
    """Per cent of a kill's rate that lists and counts beside it cost."""
    alone, beside = (figures[name]["ended_per_second"] for name in ("kill alone", "kill beside lists"))
    return float(100 * (1 - beside / alone))


def _log_records(figures: Any, job: str) -> float:
    return at(figures, "jobs", f"{job}, alone", "log_records_per_ended")


def _pings(kind: str) -> list[Goal]:
    what = "cancelled until ended" if kind == "cancelled" else f"killed, {kind}"
    ratio = [
        Goal(
            f"a command beside a batch ({what}): {part}, of idle",
            "latency",
            _at("jobs", kind, "ratio", part),
            most=most,
            unit="x",
        )
        for part, most in (("p50", 3), ("p99", 4), ("p99.9", 10))
    ]
    name = f"the same: p99, of Restate's beside its own {'cancel' if kind == 'cancelled' else 'kill'}"
    return [*ratio, Goal(name, "latency", partial(_of_restates_p99, kind=kind), most=1, unit="x")]


def _kills(job: str, alone: float, beside: float) -> list[Goal]:
    endpoint = "Restate's endpoint"
    return [
        Goal(f"killed ({job}), alone", "kill", _at("jobs", f"{job}, alone", "ended_per_second"), unit="/s"),
        Goal(
            f"the same, of {endpoint} alone",
            "kill",
            partial(_times_restate, job=f"{job}, alone", peer=restate.ENDPOINT),
            least=alone,
            unit="x",
        ),
        Goal(
            f"the same with pings beside it, of {endpoint} with pings",
            "kill",
            partial(_times_restate, job=f"{job}, with pings", peer=restate.ENDPOINT_PINGS),
            least=beside,
            unit="x",
        ),
    ]


GOALS: tuple[Goal, ...] = (
    Goal("`Invoke` applied, START signal included", "apply", _at("jobs", "invoke", "per_second"), unit="/s"),
    Goal("the same job, of Quix Streams", "apply", partial(_times, peer=naive.QUIX), least=4, unit="x"),
    Goal("the same job, of Faust", "apply", partial(_times, peer=naive.FAUST), least=50, unit="x"),
    Goal("mixed life applied", "life", _at("jobs", "mixed life", "per_second"), unit="/s"),
    Goal("the same job, of Quix Streams", "life", partial(_times, peer=naive.QUIX), least=4, unit="x"),
    *_kills("never started", 14, 6),
    Goal(
        "the same, of Restate's command line",
        "kill",
        partial(_times_restate, job="never started, alone", peer=restate.COMMAND_LINE),
        least=25,
        unit="x",
    ),
    *_kills("running", 6, 3),
    Goal("cancelled until ended, suspended", "cancel", _at("jobs", "suspended", "ended_per_second"), unit="/s"),
    Goal(
        "the same, of Restate's command line",
        "cancel",
        partial(_times_restate, job="suspended", peer=restate.CANCEL_PINGS),
        least=15,
        unit="x",
    ),
    *_pings("never started"),
    *_pings("running"),
    *_pings("cancelled"),
    Goal(
        "20 unlike batches at once: a command's p99, of idle", "unlike", _at("unlike", "ratio", "p99"), most=4, unit="x"
    ),
    Goal("log records per row ended, never started", "kill", partial(_log_records, job="never started"), most=0.001),
    Goal("log records per row ended, running", "kill", partial(_log_records, job="running"), most=0.001),
    Goal("started although a running batch matches it", "doomed", lambda all_: _worst(all_, "started_doomed"), most=0),
    Goal(
        "a batch in the largest table, of the smallest: never started",
        "growth",
        lambda all_: _worst(all_, "of_smallest", "never started"),
        most=1.2,
        unit="x",
    ),
    Goal("the same, running", "growth", lambda all_: _worst(all_, "of_smallest", "running"), most=1.2, unit="x"),
    Goal(
        "one matching row, most have ended: the batch", "needle", lambda all_: _worst(all_, "seconds"), most=5, unit="s"
    ),
    Goal("a command's p99 beside it, of idle", "needle", lambda all_: _worst(all_, "ratio", "p99"), most=1.2, unit="x"),
    Goal("restart, to the first command", "restart", lambda all_: _worst(all_, "first_command_s"), most=1, unit="s"),
    Goal("restored rows", "restore", lambda all_: _worst(all_["jobs"], "rows_per_second"), unit="/s"),
    Goal("the slower kind of row, of Quix Streams", "restore", _restored, least=3, unit="x"),
    Goal("state on disk", "memory", lambda all_: _worst(all_["tables"], "state_mb"), most=200, unit="MB"),
    Goal("a worker's memory", "memory", lambda all_: _worst(all_["tables"], "memory_mb"), most=250, unit="MB"),
    Goal("the same after many commands", "memory", _at("commands", "grown"), most=1.1, unit="x"),
    Goal("the same after a week of batches", "memory", _at("batches", "grown"), most=1.1, unit="x"),
    Goal("a flow killed, of a batch on the same rows", "flows", _at("flow", "of_a_batch"), least=0.25, unit="x"),
    Goal(
        "CPU of an `Invoke` with a flow, of one without",
        "apply",
        _at("jobs", "invoke with a flow", "of_plain"),
        most=2,
        unit="x",
    ),
    Goal("list 50 by service and status", "list", _at("list 50, service and status", "p50"), most=50, unit="ms"),
    Goal("count by status", "list", _at("count, service and status", "p50"), most=1_000, unit="ms"),
    Goal("a kill's rate lost to lists beside it", "list", _lost, most=10, unit="%"),
    Goal("`streams --version`", "cli", _at("streams --version", "median"), most=0.25, unit="s"),
    Goal("`streams invoke`", "cli", _at("streams invoke", "median"), most=0.6, unit="s"),
)


def values(goal: Goal, runs: Sequence[dict[str, Any]]) -> list[float]:
    """Its figure in each run that has one."""
    found = []
    for run in runs:
        try:
            found.append(goal.value(run[goal.measure]))
        except KeyError:
            continue
    return found
