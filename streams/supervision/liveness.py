"""A part's answers to questions about itself, and a watch on its health: one that is stuck does not say so."""

from __future__ import annotations

import http.client
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl

ASK_EVERY_S: Final = 5.0
"""Time between two questions, seconds."""
STUCK_S: Final = 30.0
"""A part that has not said for this long that it is live is stuck, seconds."""

_ANSWER_S: Final = 2.0


class LivenessWatch:
    """Asks a part, at an address of this machine, whether it is live; on a thread of its own."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._live_at = time.monotonic()
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="liveness", daemon=True).start()

    @property
    def stuck(self) -> bool:
        """True if the part has not said for too long that it is live."""
        return time.monotonic() - self._live_at > STUCK_S

    def begin(self) -> None:
        """A new life of the part begins."""
        self._live_at = time.monotonic()

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(ASK_EVERY_S):
            if fetched(self._host, self._port, "/health/live", _ANSWER_S)[0] == http.HTTPStatus.OK:
                self._live_at = time.monotonic()


def fetched(
    host: str, port: int, path: str, within_s: float, context: ssl.SSLContext | None = None
) -> tuple[int, bytes]:
    """Send a GET, and return the status and the body. The status is 0 if there is no answer.

    No proxy is used. Each step, such as the connection, may take `within_s` seconds. `context`: for HTTPS.
    """
    asking = (
        http.client.HTTPConnection(host, port, timeout=within_s)
        if context is None
        else http.client.HTTPSConnection(host, port, timeout=within_s, context=context)
    )
    try:
        asking.request("GET", path)
        answer = asking.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        asking.close()
