"""An executor: a thread that reads the signals and answers with reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams import codec
from streams.config import Topic
from streams.model import ReportTransition, Signal, SignalKind, Status
from support.service.background import Background

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streams.model import Record
    from support.service.harness import Service

Answer = "Callable[[Signal], Iterable[Record]]"


class Executor(Background):
    """Answers every signal once, as `answer` says."""

    def __init__(self, service: Service, answer: Callable[[Signal], Iterable[Record]]) -> None:
        super().__init__()
        self._service = service
        self._answer = answer

    def work(self) -> None:
        """Read signals and answer them."""
        with self._service.reader(Topic.SIGNALS) as reader:
            while not self._stop.is_set():
                reports: list[Record] = []
                for entry in reader.more(0.05):
                    signal = codec.decode(entry.value)
                    if isinstance(signal, Signal):
                        reports += self._answer(signal)
                self._service.send_many(reports)


def report(signal: Signal, to: Status) -> ReportTransition:
    """A report on the invocation of a signal."""
    return ReportTransition(signal.invocation.invocation_id, signal.attempt, seq=signal.seq, to=to)


def obliging(signal: Signal) -> list[Record]:
    """Says that it is running, and ends what it is asked to cancel."""
    match signal.kind:
        case SignalKind.START:
            return [report(signal, Status.RUNNING)]
        case SignalKind.CANCEL:
            return [report(signal, Status.CANCELLED)]
        case _:
            return []
