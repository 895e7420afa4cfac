"""A repair for interrupts that Python would drop: they are raised again."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_AGAIN_S = 0.01


def never_dropped() -> None:
    """Let Ctrl-C end the program wherever it meets it.

    What a signal's handler raises while an object is being freed goes to `sys.unraisablehook` and no further
    (Python's documentation, `object.__del__`). Here, that KeyboardInterrupt comes once more, a moment later, from the
    current handler of SIGINT.
    """
    signal.signal(signal.SIGALRM, _as_sigint)
    sys.unraisablehook = _hook


def _hook(lost: sys.UnraisableHookArgs) -> None:
    if isinstance(lost.exc_value, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    else:
        sys.__unraisablehook__(lost)


def _as_sigint(_number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)
