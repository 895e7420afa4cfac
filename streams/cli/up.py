"""`up`: the service on this machine in one process tree, with one log."""

from __future__ import annotations

import signal
import ssl
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from typer.core import TyperCommand

from streams import broker as brokers
from streams.broker.base import free_port, last_line, port_is_free
from streams.cli.context import settings_of_service
from streams.cli.show.console import Exit, err, out
from streams.config import load_settings, variable
from streams.errors import StreamsError
from streams.kafka import topics
from streams.supervision.child import Program
from streams.supervision.liveness import fetched
from streams.supervision.outputs import OneLog
from streams.supervision.supervisor import Supervisor, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.config import Settings

ANY = "any"
KINDS = (ANY, *brokers.KINDS)
GATEWAY = "gateway"
PAGE_PORT = 8080
_LOOK_S = 0.2
_STOP_S = 30.0
_ASK_S = 2.0


class OptionalKind(TyperCommand):
    """A command whose option `--broker` may do without its value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as usual; a bare `--broker` means any kind that works."""
        whole: list[str] = []
        for word, following in zip(args, [*args[1:], "-"], strict=False):
            whole += [word, ANY] if word == "--broker" and following.startswith("-") else [word]
        return super().parse_args(ctx, whole)


def up(
    *,
    broker: Annotated[
        str | None,
        typer.Option(
            metavar="[KIND]",
            help=f"Start a broker, too: {', '.join(KINDS)}; without a kind the first that works. Else the one of "
            "STREAMS_BOOTSTRAP_SERVERS is used.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Where that broker's data and the tables stay; else in a temporary folder that goes with them.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="How many workers.")] = 1,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Of topics that are missing: fixed from then on. Else 4.")
    ] = None,
) -> None:
    """Run workers, the gateway with its page and, if asked for, a broker, in one log, until Ctrl-C.

    Missing topics are created. A part that dies ends all, with its line. The first Ctrl-C stops workers, gateway and
    broker in this order, a second one all at once.

    Example: streams up --broker
    """
    if broker is not None and broker not in KINDS:
        raise typer.BadParameter(f"--broker {broker}: must be one of {', '.join(KINDS)}")
    if data_dir is not None and broker is None:
        raise typer.BadParameter("--data-dir is for --broker: without it, tables are in STREAMS_STATE_DIR")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        _run(broker, data_dir, workers, partitions)
    except KeyboardInterrupt:
        err.print("stopped at once; nothing is left running")
        raise typer.Exit(Exit.INTERRUPTED) from None


up.kind = OptionalKind  # type: ignore[attr-defined]


def _interrupt(_number: int, _frame: object = None) -> None:
    raise KeyboardInterrupt


def _run(broker: str | None, data_dir: Path | None, workers: int, partitions: int | None) -> None:
    log = OneLog()
    with ExitStack() as stack:
        started, settings = stack.enter_context(_place(broker, data_dir, log))
        topics.create(settings, partitions)
        stack.callback(log.close)
        variables = _variables(settings)
        names = [f"worker-{number}" for number in range(1, workers + 1)]
        parts = [Program(name, ("worker",), variables | own_variables(settings, name), log) for name in names]
        gateway = Program(GATEWAY, (GATEWAY,), variables, log)
        tree = Tree(
            name="service",
            part="part",
            field="part",
            stop_s=_STOP_S,
            ends_all=lambda part, _: part.told_end(),
            at_once=_interrupt,
            look=_Looking(settings, started),
            look_every_s=_LOOK_S,
            stopping=lambda: out.print("stopping; Ctrl-C once more stops at once"),
        )
        supervisor = Supervisor(tree, parts, [gateway])
        supervisor.run()
        for part in supervisor.unclean:
            raise StreamsError(part.told_end())


@contextmanager
def _place(kind: str | None, data_dir: Path | None, log: OneLog) -> Iterator[tuple[brokers.Broker | None, Settings]]:
    """The broker that was asked for, and the settings to work with it; a broker's data and the tables go together."""
    if kind is None:
        yield None, settings_of_service(**_address())
        return
    with ExitStack() as stack:
        folder = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streams-up-")))
        port = brokers.USUAL_PORT if port_is_free(brokers.USUAL_PORT) else free_port()
        wanted, kept = None if kind == ANY else kind, None if data_dir is None else folder / "broker"
        try:
            started = brokers.start(wanted, kept, port, lambda line: log.write("broker", line), lasting=True)
        except brokers.BrokerUnavailableError as error:
            raise StreamsError(str(error)) from error
        stack.enter_context(started)
        out.print(f"{started.label} serves at {started.bootstrap}")
        if started.limits:
            out.print(f"mind: {started.limits}")
        yield (
            started,
            settings_of_service(bootstrap_servers=started.bootstrap, state_dir=folder / "state", **_address()),
        )


def _address() -> dict[str, str]:
    """The gateway's address: that of the settings, else the usual one; with a port that is free where it is open."""
    settings = load_settings()
    if "gateway_http" not in settings.model_fields_set:
        return {"gateway_http": f"127.0.0.1:{PAGE_PORT if port_is_free(PAGE_PORT) else free_port()}"}
    host, _, port = settings.gateway_http.rpartition(":")
    return {"gateway_http": f"{host}:{int(port) or free_port()}"}


def _variables(settings: Settings) -> dict[str, str]:
    """What the children are told besides the environment, which they inherit."""
    form = "console" if sys.stderr.isatty() else "json"
    return {
        variable("bootstrap_servers"): settings.bootstrap_servers,
        variable("gateway_http"): settings.gateway_http,
        variable("log_format"): form if settings.log_format == "auto" else settings.log_format,
        variable("worker_processes"): "1",
    }


def own_variables(settings: Settings, name: str) -> dict[str, str]:
    """What one worker is told besides: a folder, an address and an id that no other has, whatever the settings say."""
    address = f"127.0.0.1:{free_port()}"
    own = {"state_dir": str(settings.state_dir / name), "worker_http": address, "worker_url": f"http://{address}"}
    if settings.worker_id is not None:
        own["worker_id"] = f"{settings.worker_id}-{name}"
    return {variable(field): value for field, value in own.items()}


class _Looking:
    """Looks after the broker, and tells once when the page is there."""

    def __init__(self, settings: Settings, started: brokers.Broker | None) -> None:
        self._page = page_of(settings)
        self._started = started
        self._told = False

    def __call__(self) -> None:
        """Look once.

        Raises:
            StreamsError: the broker has ended by itself; the message has its last line.
        """
        if self._started is not None and not self._started.wait(0.0):
            raise StreamsError(f"the broker ended by itself: {last_line(self._started.log)}")
        if not self._told and is_ready(self._page):
            self._told = True
            out.print(f"page: {self._page} (Ctrl-C stops all)")


def page_of(settings: Settings) -> str:
    """The page's address on this machine."""
    host, _, port = settings.gateway_http.rpartition(":")
    scheme = "http" if settings.gateway_tls_cert is None else "https"
    return f"{scheme}://{'127.0.0.1' if host in {'0.0.0.0', '[::]'} else host}:{port}/"  # noqa: S104 - a comparison


def is_ready(page: str) -> bool:
    """True if the gateway of that page is ready. No proxy is used; its certificate is for another name than this."""
    parts = urlsplit(page)
    unchecked = None
    if parts.scheme == "https":
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    status, _ = fetched(parts.hostname or "", parts.port or 0, "/health/ready", _ASK_S, unchecked)
    return status == HTTPStatus.OK
