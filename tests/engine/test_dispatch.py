"""The dispatch table."""

from __future__ import annotations

from typing import get_args

from streams.engine import HANDLERS
from streams.model import Command


def test_every_command_has_a_handler() -> None:
    """What may be in the log is decided by somebody, and nothing else is."""
    assert set(HANDLERS) == set(get_args(Command))
