"""Ctrl-C at the worst moment."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import gc, signal, time
from streams.cli import interrupts

class Freed:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def handler(number, frame):
    raise KeyboardInterrupt

{install}
try:
    Freed()
    time.sleep({seconds})
    print("went on")
except KeyboardInterrupt:
    print("stopped")
"""


def _outcome(install: str, seconds: float) -> str:
    program = _PROGRAM.format(install=install, seconds=seconds)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_interrupt_while_an_object_is_freed_is_not_lost() -> None:
    """By Python's own handler and by one that a verb has set."""
    assert _outcome("interrupts.never_dropped()", 30) == "stopped"
    assert _outcome("interrupts.never_dropped(); signal.signal(signal.SIGINT, handler)", 30) == "stopped"


def test_python_alone_loses_it() -> None:
    """Else there would be no need for the module."""
    assert _outcome("", 0.2) == "went on"
