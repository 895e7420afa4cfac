"""Logging: events with fields, readable on a terminal, JSON otherwise; everything goes to stderr."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import structlog

    from streams.config import Settings


def configure(settings: Settings) -> None:
    """Send structlog's and the standard library's records through one chain; may be called again."""
    import structlog  # noqa: PLC0415 - a client, which needs none of it, imports this module

    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(console=console)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())


def _renderers(*, console: bool) -> list[structlog.typing.Processor]:
    import structlog  # noqa: PLC0415 - likewise

    # Tracebacks never show local variables: settings hold passwords.
    if console:
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(transformer), structlog.processors.JSONRenderer()]


class Seldom(logging.Filter):
    """Passes each message of these loggers at most once per `seconds`: without a broker, a client logs many per second.

    Messages are the same if they come from the same logger and differ only in their arguments, of which the first
    `telling` ones count as part of the message.
    """

    def __init__(self, loggers: tuple[str, ...], seconds: float, telling: int = 0) -> None:
        super().__init__()
        self._loggers = loggers
        self._seconds = seconds
        self._telling = telling
        self._next: dict[tuple[str, ...], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """True if the record is to be written."""
        if not record.name.startswith(self._loggers):
            return True
        telling = record.args[: self._telling] if isinstance(record.args, tuple) else ()
        message = (record.name, str(record.msg), *map(str, telling))
        if record.created < self._next.get(message, 0.0):
            return False
        self._next[message] = record.created + self._seconds
        return True
