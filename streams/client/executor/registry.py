"""The registry of handlers: the function for each invocation."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from streams.errors import StreamsError

if TYPE_CHECKING:
    from streams.model import Invocation

Handler = Callable[..., Any]
"""A function called with a `Context`; an `async def` one runs in an event loop, any other in a thread."""

_READABLE = 60

Name = tuple[str, str]
"""Service and handler."""


class Registry:
    """Handlers by service and handler name, and a default one."""

    def __init__(self, handlers: Mapping[Name, Handler] | None = None) -> None:
        self._handlers: dict[Name, Handler] = dict(handlers or {})
        self._on_stop: dict[Name, Handler] = {}
        self._default: Handler | None = None

    def add(self, name: Name, handler: Handler) -> None:
        """Register a handler; each name is taken once."""
        self._add(self._handlers, name, handler)

    def add_on_stop(self, name: Name, handler: Handler) -> None:
        """Register a function that stops work that does not run here."""
        self._add(self._on_stop, name, handler)

    def set_default(self, handler: Handler) -> None:
        """Register the function that handles everything else."""
        self._default = handler

    def find(self, invocation: Invocation) -> Handler | None:
        """The invocation's handler, else the default one; None if there is neither."""
        return self._handlers.get((invocation.service, invocation.handler), self._default)

    def find_on_stop(self, invocation: Invocation) -> Handler | None:
        """The function that stops the invocation elsewhere; None if it does not run elsewhere."""
        return self._on_stop.get((invocation.service, invocation.handler))

    def services(self) -> frozenset[str] | None:
        """The services with handlers; None, for all, if there is only a default handler.

        Raises:
            StreamsError: there is no handler at all.
        """
        named = frozenset(service for service, _ in (*self._handlers, *self._on_stop))
        if not named and self._default is None:
            raise StreamsError("the executor has no handler: register one, or name its services")
        return named or None

    def missing(self, invocation: Invocation) -> str:
        """The error text for an invocation without a handler."""
        known = ", ".join(sorted("/".join(name) for name in self._handlers)) or "none at all"
        return (
            f"no handler for {invocation.service}/{invocation.handler}; this executor has {known}: register one; "
            "it is tried again"
        )[:1_000]

    @staticmethod
    def _add(registered: dict[Name, Handler], name: Name, handler: Handler) -> None:
        if name in registered:
            raise StreamsError(f"handler {'/'.join(name)} is registered twice: remove one of them")
        registered[name] = handler


def group_of(services: Collection[str] | None) -> str:
    """The group name of all executors of exactly these services; no other executors share it."""
    if services is None:
        return "executors"
    named = sorted(services)
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", "-".join(named))[:_READABLE]
    return f"executors-{readable}-{hashlib.sha256(json.dumps(named).encode()).hexdigest()[:12]}"
