"""Sockets that a supervisor opens for its parts: they outlive a part, and requests wait in them meanwhile."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BACKLOG: Final = 1024


@contextmanager
def listening(address: str, setting: str) -> Iterator[socket.socket]:
    """A socket that listens; `setting`: the variable that holds the address, for messages.

    Raises:
        StreamsError: the address cannot be used.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    with made:
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((host, int(port)))
            made.listen(_BACKLOG)
        except (OSError, OverflowError) as error:
            raise StreamsError(
                f"{setting}={address}: {getattr(error, 'strerror', None) or error}; each process on a machine needs "
                "an address of its own"
            ) from error
        yield made


def reached_at(listening: socket.socket) -> tuple[str, int]:
    """Host and port at which this machine reaches the socket."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return host, port
