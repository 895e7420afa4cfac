"""A worker as a process: its signals and its end."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
from typing import TYPE_CHECKING, NamedTuple

import structlog
from confluent_kafka import KafkaException

from streams.clock import wall_clock
from streams.config import variable
from streams.errors import StreamsError
from streams.health import serving, serving_on
from streams.kafka import topics
from streams.kafka.errors import KafkaFailureError, ProducerFencedError, TransactionAbortedError
from streams.state.errors import NewerEngineError
from streams.stopping import Limit
from streams.worker.observer import WorkerObserver
from streams.worker.priority import giving_way
from streams.worker.queries import Queries
from streams.worker.worker import Worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping
    from wsgiref.types import WSGIApplication

    from streams.config import Settings
    from streams.health import Endpoint

log = structlog.get_logger("streams.worker")

_STOPPING = (signal.SIGTERM, signal.SIGINT)
_SWITCH_S = 0.0005
"""Longest time a thread may keep the interpreter, s: the committing thread must not wait 5 ms between two requests."""


class OneOfMany(NamedTuple):
    """What is special about a worker's process that is one of several."""

    number: int
    listening: socket.socket | None
    """Where it serves; None: nowhere."""


def run_worker(settings: Settings, one: OneOfMany | None = None) -> int:
    """Run a worker until SIGTERM or Ctrl-C; a second Ctrl-C stops at once, and the next start settles the open turn.

    Returns the exit code. A stop that takes longer than 20 s ends the process with exit code 1.

    Raises:
        StreamsError: it cannot start or go on; the message says why.
    """
    topics.require_sound(settings)
    observer = WorkerObserver(wall_clock)
    queries = Queries(settings, wall_clock, observer.lag)
    paths = {"/queries/": giving_way(queries.app)}
    with _served(settings, observer, paths, one) as place, _clear_errors(settings):
        if place is not None:
            queries.served_at(place)
        asked = None if place is None else queries
        _run_until_signal(
            Worker(settings, observer=observer, queries=asked, process=None if one is None else one.number)
        )
    # All is done: a second Ctrl-C that comes only now has nothing left to stop, and must not look like a failure.
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    return 0


def _served(
    settings: Settings, observer: WorkerObserver, paths: Mapping[str, WSGIApplication], one: OneOfMany | None
) -> contextlib.AbstractContextManager[Endpoint | None]:
    if one is not None and one.listening is not None:
        return serving_on(one.listening, observer, paths)
    return serving(settings.worker_http if one is None else None, variable("worker_http"), observer, paths)


def _run_until_signal(worker: Worker) -> None:
    def on_signal(number: int, _frame: object) -> None:
        if worker.stopping:
            log.warning("stopped at once", signal=signal.Signals(number).name)
            os._exit(128 + number)
        log.info("stopping after this turn; once more to stop at once", signal=signal.Signals(number).name)
        worker.stop()
        limit.begin()

    limit = Limit("worker")
    for number in _STOPPING:
        signal.signal(number, on_signal)
    sys.setswitchinterval(_SWITCH_S)
    try:
        worker.run()
    finally:
        limit.lift()


@contextlib.contextmanager
def _clear_errors(settings: Settings) -> Iterator[None]:
    """Turn an error that ends a worker into one line that says what to do."""
    try:
        yield
    except (NewerEngineError, KafkaFailureError) as error:
        raise StreamsError(str(error)) from error
    except (ProducerFencedError, TransactionAbortedError) as error:
        raise StreamsError(
            f"Kafka at {settings.bootstrap_servers} does not settle the last transaction ({error}): start the worker "
            "again when it answers; nothing is lost",
        ) from error
    except KafkaException as error:
        raise StreamsError(f"Kafka: {error.args[0].str() if error.args else error}") from error
    except sqlite3.Error as error:
        raise StreamsError(
            f"state folder {settings.state_dir}: SQLite says {error}. Nothing is lost: what Kafka has committed is "
            "replayed from the changelog at the next start. Free disk space or choose another STREAMS_STATE_DIR",
        ) from error
