"""A worker of several processes: one supervisor, one state folder, one log, one address for metrics and health."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog

from streams.config import Topic, variable
from streams.errors import ConfigError
from streams.health import serving
from streams.kafka import topics
from streams.kafka.admin import Admin
from streams.stopping import STOP_S
from streams.supervision.child import Part
from streams.supervision.liveness import LivenessWatch
from streams.supervision.outputs import OneLog
from streams.supervision.sockets import listening, reached_at
from streams.supervision.supervisor import Supervisor, Tree, end_at_once
from streams.worker.state_folder import StateFolder
from streams.worker.together import Process, Together

if TYPE_CHECKING:
    import socket

    from streams.config import Settings
    from streams.supervision.child import Child

log = structlog.get_logger("streams.worker")

TRIES: Final = 5
"""A process that fails this often in a row, soon after its start, ends the worker."""

_MODULE: Final = "streams.worker.part"
_MORE_S: Final = 2.0
"""A process ends by itself when its time to stop is over; it is killed after so much more, seconds."""
_LONGEST_ID: Final = 197


def run_processes(settings: Settings) -> int:
    """Run a worker of `STREAMS_WORKER_PROCESSES` processes until SIGTERM or Ctrl-C; a second one ends it at once.

    A process that dies is started again, with a pause that grows while it keeps dying. Returns the exit code.

    Raises:
        StreamsError: it cannot start, or one of its processes fails at each start; the message says why.
    """
    topics.require_sound(settings)
    _check_id(settings)
    folder = StateFolder(settings.state_dir)
    output = OneLog(field="process")
    with ExitStack() as stack:
        stack.callback(folder.close)
        stack.callback(output.close)
        folder.worker_id(settings.worker_id)
        processes = [_process(settings, number, stack, output) for number in range(settings.worker_processes)]
        watches = {each.part: LivenessWatch(*each.place) for each in processes if each.place is not None}
        for watch in watches.values():
            stack.callback(watch.end)
        tree = Tree(
            name="worker",
            part="process of the worker",
            field="process",
            stop_s=STOP_S + _MORE_S,
            ends_all=_hopeless,
            at_once=_end_at_once,
            stopping=lambda: log.info("stopping after these turns; once more to stop at once"),
        )
        supervisor = Supervisor(tree, [each.part for each in processes], watches=watches)
        merged = stack.enter_context(Together(processes, supervisor.restarts, _idle(settings)))
        stack.enter_context(serving(settings.worker_http, variable("worker_http"), merged, merged.paths))
        return supervisor.run()


def _check_id(settings: Settings) -> None:
    if settings.worker_id is not None and len(settings.worker_id) > _LONGEST_ID:
        raise ConfigError(
            f"{variable('worker_id')}: at most {_LONGEST_ID} characters with {variable('worker_processes')}="
            f"{settings.worker_processes}: each process adds its number"
        )


def _idle(settings: Settings) -> int:
    """How many processes can have no partition, which is said in the log."""
    partitions = Admin(settings).partition_counts()[settings.topic(Topic.COMMANDS)]
    idle = max(0, settings.worker_processes - partitions)
    if idle:
        log.warning(
            "there are more processes than partitions: some have nothing to do",
            processes=settings.worker_processes,
            partitions=partitions,
            idle=idle,
        )
    return idle


def _process(settings: Settings, number: int, stack: ExitStack, output: OneLog) -> Process:
    """A process: its settings, and the socket on which it answers."""
    own: dict[str, object] = {"worker_processes": 1}
    if settings.worker_id is not None:
        own["worker_id"] = f"{settings.worker_id}-{number}"
    if settings.log_format == "auto":
        own["log_format"] = "console" if sys.stderr.isatty() else "json"
    sockets: dict[str, socket.socket] = {}
    place = None
    if settings.worker_http is not None:
        opened = stack.enter_context(listening(_next_address(settings.worker_http, number), variable("worker_http")))
        sockets["listen"], place = opened, reached_at(opened)
        if settings.worker_url is not None:
            own["worker_url"] = _next_url(settings.worker_url, settings.worker_http, number, place[1])
    part = Part(str(number), _MODULE, settings.model_copy(update=own), sockets, {"number": number}, output)
    return Process(part, place)


def _next_address(address: str, number: int) -> str:
    """Where a process answers queries: behind the port of metrics and health; with port 0 at any."""
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + 1 + number if int(port) else 0}"


def _next_url(url: str, address: str, number: int, port: int) -> str:
    """The same as gateways reach it; `port`: where it listens.

    Raises:
        ConfigError: the URL names no port that others could follow.
    """
    given = urlsplit(url)
    if given.port is None:
        raise ConfigError(
            f"{variable('worker_url')}={url}: names no port; with several processes each has one of its own, which "
            "follow the one that is named"
        )
    host = given.netloc.rpartition(":")[0]
    follows = not address.endswith(":0")
    return f"{given.scheme}://{host}:{given.port + 1 + number if follows else port}"


def _hopeless(process: Child, failures: int) -> str | None:
    """Why there is no point in another start, if so."""
    if failures < TRIES:
        return None
    unsaid = f"process {process.name} of the worker has ended {failures} times at its start: its log says why"
    return process.fault() or f"{unsaid}\n{process.told_end()}"


def _end_at_once(number: int) -> None:
    log.warning("stopped at once", lost="nothing: what was not committed is read again at the next start")
    end_at_once(number)
