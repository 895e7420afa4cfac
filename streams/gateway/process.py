"""The merge, one of the gateway's two parts: its start and its stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka.errors import KafkaError
from faust.exceptions import ProducerSendError

from streams.config import Topic
from streams.errors import StreamsError
from streams.gateway.faust_app import SliceTopic, app_id, build_app, changelog_name
from streams.gateway.faust_options import keep_logins_out_of_the_log, without_effect
from streams.gateway.observer import GatewayObserver
from streams.health import serving_on
from streams.kafka.admin import Admin
from streams.kafka.clients import TIMEOUT_S
from streams.kafka.topic_ids import EVERY_S, Remade, TopicIds, topic_id
from streams.kafka.topics import require
from streams.logs import Seldom
from streams.stopping import Limit

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from streams.config import Settings

STOP_S = 15.0
"""Time for a clean stop before the process ends without one, seconds."""

REPEAT_S = 30.0
"""Time for which a message of Faust is not repeated, seconds."""

_REASON_S = 3.0
_LOST = (KafkaError, ProducerSendError)
_EXIT_INTERRUPTED = 130
_CHATTY = ("aiokafka", "faust", "mode", "streams.gateway.faust_fixes")

log = structlog.get_logger("streams.gateway")


class StartAgainError(Exception):
    """Kafka has ended the merge's transaction: only a new process can go on, as Faust's threads outlive its app."""


def run_merge(settings: Settings, listening: socket.socket) -> None:
    """Run the merge until SIGTERM; it serves its metrics and health on the socket.

    Raises:
        StreamsError: it cannot go on, for a reason that a person can put right.
        StartAgainError: it is to be started again.
    """
    source, ids = require_source(settings)
    _quieten(settings)
    keep_logins_out_of_the_log()
    unused = without_effect(settings.kafka_properties())
    if unused:
        log.warning("these Kafka properties have no effect on the merge", properties=unused)
    observer = GatewayObserver()
    limit = Limit("gateway")
    with serving_on(listening, observer), TemporaryDirectory(prefix="streams-gateway-") as scratch:
        asyncio.run(_serve(settings, source, ids, Path(scratch), observer, limit))
    _end_surviving_threads()
    limit.lift()


def require_source(settings: Settings) -> tuple[SliceTopic, TopicIds]:
    """Check the merge's topics before Faust does: it would wait for missing ones, or create them in its own way.

    Returns the source, and the ids by which to check later that the topics are still the same.
    """
    admin = Admin(settings)
    found = require(admin.client, settings, admin.trouble, Topic.BATCH_SLICES, Topic.BATCHES)
    slices = found[settings.topic(Topic.BATCH_SLICES)]
    existing = admin.partition_counts().get(changelog_name(settings))
    if existing not in (None, len(slices.partitions)):
        raise StreamsError(
            f"topic {changelog_name(settings)} has {existing} partitions, "
            f"{settings.topic(Topic.BATCH_SLICES)} has {len(slices.partitions)}: they must be equal; with all gateways "
            "stopped, delete the first one and the gateway's consumer group, and it is built again"
        )
    ids = TopicIds(admin.client, {name: topic_id(admin.client, name, TIMEOUT_S) for name in found})
    return SliceTopic(len(slices.partitions), max(len(each.replicas) for each in slices.partitions.values())), ids


async def _watch_topics(settings: Settings, ids: TopicIds, failed: Callable[[BaseException], None]) -> None:
    """Report when a topic was deleted, or created again: the table and the group's offsets belong to the old one."""
    while True:
        found = ids.look()
        if found is not None:
            failed(_remade(settings, found))
        await asyncio.sleep(EVERY_S)


def _remade(settings: Settings, found: Remade) -> StreamsError:
    what = "deleted" if found.now is None else "created again"
    return StreamsError(
        f"topic {found.topic} was {what} while the gateway ran: with all gateways stopped, delete the topic "
        f"{changelog_name(settings)} and the consumer group {app_id(settings)}, then start them; progress is built "
        "again from the topics"
    )


def _quieten(settings: Settings) -> None:
    """Limit Faust's log, which has each step of each of its services, to warnings, and those to one now and then."""
    if settings.log_level != "debug":
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        for handler in logging.getLogger().handlers:
            handler.addFilter(Seldom(_CHATTY, REPEAT_S))


def _end_surviving_threads() -> None:
    """End the process as not clean if Faust has left a thread behind."""
    deadline = time.monotonic() + 1.0
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.error("the gateway did not stop cleanly", thread=thread.name)
                logging.shutdown()
                os._exit(1)


async def _serve(
    settings: Settings, source: SliceTopic, ids: TopicIds, scratch: Path, observer: GatewayObserver, limit: Limit
) -> None:
    over = _asked_to_stop(limit)

    def failed(error: BaseException) -> None:
        if not over.done():
            over.set_exception(error)

    app = build_app(settings, source, scratch, failed, observer)
    watching = [asyncio.create_task(each) for each in (observer.watch(), _watch_topics(settings, ids, failed))]
    try:
        await _first(over, app.start())
        if not over.done():
            observer.started(app, settings.topic(Topic.BATCH_SLICES))
            log.info("gateway ready", reads=settings.topic(Topic.BATCH_SLICES), writes=settings.topic(Topic.BATCHES))
            await _first(over, app.wait())
            if not over.done():
                over.set_exception(app.crash_reason or StreamsError("the gateway has stopped by itself"))
        over.result()
    except StreamsError:
        raise
    except Exception as error:
        # Faust may end with any error when a topic is deleted.
        found = await asyncio.to_thread(ids.ask_now, _REASON_S)
        if found is not None:
            raise _remade(settings, found) from error
        if not isinstance(error, _LOST):
            raise
        raise StartAgainError(repr(error)) from error
    finally:
        for each in watching:
            each.cancel()
        await _stop(app)
    log.info("gateway stopped")


def _asked_to_stop(limit: Limit) -> asyncio.Future[None]:
    """A future that is done after the first SIGTERM or Ctrl-C; a further one ends the process."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def asked() -> None:
        if not over.done():
            over.set_result(None)

    def on_signal(_number: int, _frame: object) -> None:
        if limit.begun or over.done():
            os._exit(_EXIT_INTERRUPTED)
        limit.begin()
        loop.call_soon_threadsafe(asked)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    return over


async def _first(over: asyncio.Future[None], work: Awaitable[Any]) -> None:
    """Wait for the work or for the request to stop; raises whatever the work raises."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({over, task}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    else:
        task.cancel()


async def _stop(app: Any) -> None:
    try:
        await asyncio.wait_for(app.stop(), STOP_S)
    except TimeoutError:
        # Faust's threads would keep the process alive; records not acknowledged are read again at the next start.
        log.warning("the gateway did not stop cleanly", seconds=STOP_S)
        logging.shutdown()
        os._exit(1)
    except Exception as error:  # noqa: BLE001 - no error here may hide the reason why the gateway stops
        log.warning("the gateway did not stop cleanly", reason=repr(error))
