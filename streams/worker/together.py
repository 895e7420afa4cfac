"""Metrics and health of all processes of a worker, at one address."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from streams.health import Health
from streams.metrics import OfProcesses
from streams.supervision.liveness import fetched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client import Metric

    from streams.supervision.child import Child

SUPERVISOR: Final = "supervisor"
"""Value of the label `process` for the supervisor's own process."""

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_SCRAPED_S: Final = 8.0
_HEALTH_S: Final = 2.0
_AT_ONCE: Final = 16


class Process(NamedTuple):
    """A process of the worker, and the host and port at which it answers; None: nowhere."""

    part: Child
    place: tuple[str, int] | None


class Together:
    """What all processes say, as a worker of one process would say it; a probe for the server.

    Args:
        processes: all of them.
        restarts: how often each was started again, by name.
        idle: how many of them can have no partition.
    """

    def __init__(self, processes: Sequence[Process], restarts: Mapping[str, int], idle: int) -> None:
        self._processes = processes
        self._restarts = restarts
        self._idle = idle
        self._asking = ThreadPoolExecutor(min(_AT_ONCE, len(processes)), "merged")
        self.registry = CollectorRegistry()
        """Metrics of the supervisor's own process."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asking.shutdown(wait=False, cancel_futures=True)

    @property
    def paths(self) -> dict[str, WSGIApplication]:
        """The application for the metrics, by its path."""
        return {"/metrics": self._metrics}

    # --- health ---

    def live(self) -> Health:
        """True if no process says that it is stuck. One that is being started again is looked after already."""
        bodies = self._bodies("/health/live")
        stuck = [name for name, body in bodies.items() if body.get("live") is False]
        why = {"why": f"stuck: process {', '.join(stuck)}"} if stuck else {}
        return Health(not stuck, {"live": not stuck, **why, "processes": bodies})

    def ready(self) -> Health:
        """True if all processes are ready; those that can have no partition need not be."""
        bodies = self._bodies("/health/ready")
        waiting = [name for name, body in bodies.items() if not body.get("ready")]
        without = [name for name in waiting if bodies[name].get("partitions") == {}]
        if len(without) <= self._idle:
            waiting = [name for name in waiting if name not in without]
        ready = not waiting
        why = {} if ready else {"why": f"not ready: process {', '.join(waiting)}"}
        partitions = {key: phase for body in bodies.values() for key, phase in body.get("partitions", {}).items()}
        return Health(ready, {"ready": ready, **why, "partitions": partitions, "processes": bodies})

    def _bodies(self, path: str) -> dict[str, dict[str, Any]]:
        """What each process answers, by its number."""
        answers = self._asked(path, _HEALTH_S)
        return {name: json.loads(body) if status else {"why": body.decode()} for name, status, body in answers}

    # --- metrics ---

    def _metrics(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        del environ
        answers = self._asked("/metrics", _SCRAPED_S)
        texts = {name: body.decode() for name, status, body in answers if status == HTTPStatus.OK}
        counts = CollectorRegistry()
        counts.register(_Counts(self._restarts, {each.part.name: each.part.name in texts for each in self._processes}))
        own = {SUPERVISOR: generate_latest(self.registry).decode()}
        start_response(f"{HTTPStatus.OK.value} {HTTPStatus.OK.phrase}", [("Content-Type", _TEXT)])
        return [labelled({**own, **texts}).encode(), generate_latest(counts)]

    def _asked(self, path: str, within_s: float) -> list[tuple[str, int, bytes]]:
        """Name, status and body of each process; without an answer, the status is 0 and the body says why."""

        def ask(each: Process) -> tuple[str, int, bytes]:
            if not each.part.running or each.place is None:
                return each.part.name, 0, b"it is about to be started again"
            status, body = fetched(*each.place, path, within_s)
            return each.part.name, status, body if status else b"it does not answer"

        return list(self._asking.map(ask, self._processes))


class _Counts(Collector):
    """What the supervisor knows of the processes."""

    def __init__(self, restarts: Mapping[str, int], up: Mapping[str, bool]) -> None:
        self._restarts = restarts
        self._up = up

    def collect(self) -> Iterator[Metric]:
        """The samples of one scrape."""
        restarts, up = OfProcesses.RESTARTS.total(), OfProcesses.UP.family()
        for name, answers in self._up.items():
            restarts.add(self._restarts.get(name, 0), name)
            up.add_metric([name], answers)
        yield restarts.family()
        yield up


def labelled(texts: Mapping[str, str]) -> str:
    """Metrics of several processes as one text of Prometheus: each sample gets a label `process`.

    Args:
        texts: what each process answers, by its number.
    """
    families: dict[str, tuple[list[str], list[str]]] = {}
    for name, text in texts.items():
        family, label = "", f'process="{name}"'
        for line in text.splitlines():
            if line.startswith("#"):
                # HELP and TYPE of a family, then its samples, whose names may go on behind the family's.
                family = line.split(" ", 3)[2]
                head, _ = families.setdefault(family, ([], []))
                if line not in head:
                    head.append(line)
            elif line:
                families[family][1].append(_with_label(line, label))
    return "".join(f"{line}\n" for head, samples in families.values() for line in (*head, *samples))


def _with_label(sample: str, label: str) -> str:
    name, brace, rest = sample.partition("{")
    if brace:
        return f"{name}{{{label},{rest}"
    name, _, rest = sample.partition(" ")
    return f"{name}{{{label}}} {rest}"
