"""Work beside a test."""

from __future__ import annotations

import threading
from typing import Self

_ENDS_WITHIN_S = 70.0


class Background:
    """A thread that does its `work` while the context lasts; what that raises fails the test."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_ENDS_WITHIN_S)
        self.require_no_error()
        assert not self._thread.is_alive(), "the thread does not end"

    def require_no_error(self) -> None:
        """Raise what the work has raised."""
        if self._error is not None:
            raise self._error

    def work(self) -> None:
        """Until `self._stop` is set."""
        raise NotImplementedError

    def _run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            self._error = error
