"""A watch on a part's health, from outside: one that is stuck does not say so by itself."""

from __future__ import annotations

import http.client
import threading
import time
from typing import Final

ASK_EVERY_S: Final = 5.0
"""Time between two questions, seconds."""
STUCK_S: Final = 30.0
"""A part that has not said for this long that it is live is stuck, seconds."""

_ANSWER_S: Final = 2.0


class LivenessWatch:
    """Asks a part of the gateway, at a port of this machine, whether it is live; on a thread of its own."""

    def __init__(self, port: int) -> None:
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
            if self._is_live():
                self._live_at = time.monotonic()

    def _is_live(self) -> bool:
        asking = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_S)
        try:
            asking.request("GET", "/health/live")
            return asking.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asking.close()
