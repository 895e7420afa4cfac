"""A broker for development, tests and the demo, of a kind that this machine can run.

    with broker.start() as kafka:
        print(kafka.bootstrap, kafka.kind)

The kind comes from the argument or the variable `BROKER`: `HOST:PORT` (a running one), `docker`, `apache`
(Java and Maven) or `embedded` (a small binary, for a first look only). Without either, the first that works of Docker,
Apache Kafka by Maven, embedded: one that fails says why in a line, and the next is tried.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from streams.broker.apache import ApacheBroker
from streams.broker.base import (
    Broker,
    BrokerUnavailableError,
    ExternalBroker,
    free_port,
    last_line,
    port_is_free,
)
from streams.broker.docker import DockerBroker
from streams.broker.embedded import EmbeddedBroker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Broker", "BrokerUnavailableError", "main", "start"]

KINDS: dict[str, type[DockerBroker | ApacheBroker | EmbeddedBroker]] = {
    "docker": DockerBroker,
    "apache": ApacheBroker,
    "embedded": EmbeddedBroker,
}
USUAL_PORT = 9092


def start(
    kind: str | None = None,
    data_dir: Path | None = None,
    port: int | None = None,
    say: Callable[[str], None] | None = None,
    *,
    lasting: bool = False,
) -> Broker:
    """Start a broker that listens on this machine only, and return when it serves.

    Args:
        kind: `HOST:PORT`, `docker`, `apache` or `embedded`; if absent, the variable `BROKER`, else the first that
            works.
        data_dir: folder for its data; if absent, a temporary one that is removed with it.
        port: its port; if absent, any free one.
        say: called with each line for the user; if absent, the lines go to standard error.
        lasting: make it as fast as possible, although that takes a minute of load; else it starts cheaply.

    Raises:
        BrokerUnavailableError: none could be started; the text gives the reason for each.
    """
    tell = say or _to_stderr
    wanted = kind or os.environ.get("BROKER") or None
    if wanted is not None and ":" in wanted:
        external = ExternalBroker(wanted)
        external.start()
        return external
    if wanted is not None and wanted not in KINDS:
        given = "broker " if kind else "BROKER="
        raise BrokerUnavailableError(f"{given}{wanted}: must be HOST:PORT or one of {', '.join(KINDS)}")
    reasons = []
    for name in [wanted] if wanted else list(KINDS):
        broker = KINDS[name](port or free_port(), data_dir, tell, lasting=lasting)
        try:
            broker.start()
        except BrokerUnavailableError as error:
            reasons.append(f"{name}: {error}")
            tell(f"broker: {name} does not work here: {error}")
            continue
        except BaseException:
            broker.stop()
            raise
        return broker
    raise BrokerUnavailableError("no broker could be started (" + "; ".join(reasons) + ")")


def main(kind: str | None = None, data_dir: Path | None = None, port: int | None = None) -> int:
    """Run a broker in the foreground until Ctrl-C or SIGTERM; returns the process's exit code."""
    external = ":" in (kind or os.environ.get("BROKER") or "")
    if port is not None and not external and not port_is_free(port):
        sys.stderr.write(f"error: port {port} is taken: choose another --port, or leave it out for one that is free\n")
        return 1
    chosen = port or (USUAL_PORT if port_is_free(USUAL_PORT) else free_port())
    stopped = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    earlier = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with start(kind, data_dir, chosen, lasting=True) as broker:
            sys.stdout.write(f"{broker.label} serves at {broker.bootstrap}. Ctrl-C stops it.\n")
            sys.stdout.write(f"In other terminals: export STREAMS_BOOTSTRAP_SERVERS={broker.bootstrap}\n")
            if broker.limits:
                sys.stdout.write(f"Mind: {broker.limits}.\n")
            sys.stdout.flush()
            while not stopped:
                if not broker.wait(0.5):
                    kept = f"; its log: {broker.log}" if data_dir is not None else ""
                    sys.stderr.write(f"error: the broker ended by itself: {last_line(broker.log)}{kept}\n")
                    return 1
    except BrokerUnavailableError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    return 0


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
