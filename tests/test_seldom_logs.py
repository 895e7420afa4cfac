"""What chatty clients may write to the log."""

from __future__ import annotations

import logging

from streams.logs import Seldom


def line(name: str, message: str, at: float, *args: object) -> logging.LogRecord:
    """A log record."""
    record = logging.LogRecord(name, logging.ERROR, "file", 1, message, args or (1,), None)
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


def test_what_tells_messages_apart_may_stand_among_their_arguments() -> None:
    """Lines of the same form are the same only where their first arguments, as many as tell, are equal."""
    seldom = Seldom(("kafka",), 30.0, telling=1)
    assert seldom.filter(line("kafka", "%s %s", 100.0, "FAIL", "refused"))
    assert not seldom.filter(line("kafka", "%s %s", 101.0, "FAIL", "refused again"))
    assert seldom.filter(line("kafka", "%s %s", 101.0, "TERMINATE", "closing"))
