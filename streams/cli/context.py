"""The settings of a command, and its connection to Kafka."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.kafka.clients import Clients


class Connection(NamedTuple):
    """What a client of the service takes: its settings, and a maker of Kafka clients."""

    settings: Settings
    clients: Clients


_GIVEN: ContextVar[Connection | None] = ContextVar("connection", default=None)


def connect(given: Connection | None) -> None:
    """Let the verb that follows use this connection; None: the one of the settings."""
    _GIVEN.set(given)


def connection_of_command() -> Connection:
    """The connection of a command that ends by itself.

    Its log shows only warnings; the command prints the rest itself.
    """
    if (given := _GIVEN.get()) is not None:
        return given
    # Here and below: neither help nor version waits for these to load.
    from streams import logs  # noqa: PLC0415
    from streams.config import load_settings  # noqa: PLC0415
    from streams.kafka.clients import KafkaClients  # noqa: PLC0415

    settings = load_settings()
    quiet = "debug" if settings.log_level == "debug" else "warning"
    logs.configure(settings.model_copy(update={"log_level": quiet}))
    return Connection(settings, KafkaClients())


def settings_of_service(**overrides: Any) -> Settings:
    """Settings of a long-running process; its log is as the settings say."""
    from streams import logs  # noqa: PLC0415
    from streams.config import load_settings  # noqa: PLC0415

    settings = load_settings(**overrides)
    logs.configure(settings)
    return settings
