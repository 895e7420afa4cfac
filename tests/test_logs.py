"""Logs: one chain for structlog and the standard library, and no secrets in tracebacks."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from streams import logs
from streams.config import Settings


def _configured(log_format: str, level: str = "info") -> structlog.stdlib.BoundLogger:
    logs.configure(Settings.model_validate({"log_format": log_format, "log_level": level}))
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("streams.test")
    return logger


def test_without_a_terminal_every_line_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Events of structlog and of the standard library alike, on stderr."""
    _configured("auto").info("partition running", partition=3)
    logging.getLogger("library").warning("%s is slow", "it")
    shown = capsys.readouterr()
    mine, theirs = (json.loads(line) for line in shown.err.splitlines())
    assert (mine["event"], mine["partition"], mine["level"]) == ("partition running", 3, "info")
    assert (theirs["event"], theirs["logger"]) == ("it is slow", "library")
    assert shown.out == ""


def test_the_console_format_is_for_reading(capsys: pytest.CaptureFixture[str]) -> None:
    """Event first, fields behind it."""
    _configured("console").info("partition running", partition=3)
    assert "partition running" in (line := capsys.readouterr().err)
    assert "partition=3" in line


def test_what_lies_below_the_level_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """For both kinds of loggers."""
    _configured("json", "warning").info("quiet")
    logging.getLogger("library").info("quiet too")
    assert capsys.readouterr().err == ""


def _fail(password: str) -> None:
    raise ValueError(len(password))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_never_shows_local_variables(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """They may hold passwords."""
    logger = _configured(log_format)
    try:
        _fail("hunter" + "2")
    except ValueError:
        logger.exception("failed")
    shown = capsys.readouterr().err
    assert "ValueError" in shown
    assert "hunter2" not in shown
