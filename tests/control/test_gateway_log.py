"""What the gateway lets Faust write to its log."""

from __future__ import annotations

import logging

from streams.control.app import Seldom


def line(name: str, message: str, at: float) -> logging.LogRecord:
    """A log record."""
    record = logging.LogRecord(name, logging.ERROR, "file", 1, message, (1,), None)
    record.created = at
    return record


def test_a_chatty_logger_is_heard_now_and_then() -> None:
    """The same message comes once in the time given; other messages, loggers and times are not held back by it."""
    seldom = Seldom(("aiokafka",), 30.0)
    assert seldom.filter(line("aiokafka.conn", "no node %s", 100.0))
    assert not seldom.filter(line("aiokafka.conn", "no node %s", 129.0))
    assert seldom.filter(line("aiokafka.conn", "no group %s", 129.0))
    assert seldom.filter(line("streams.gateway", "ready", 129.0))
    assert seldom.filter(line("streams.gateway", "ready", 129.0))
    assert seldom.filter(line("aiokafka.conn", "no node %s", 131.0))
