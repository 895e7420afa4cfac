"""The command line as a whole: help, version, and how errors are told."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import typer

from streams import __version__
from streams.cli import app as program
from streams.cli import batch, main, verbs
from streams.errors import ConfigError, StreamsError
from support.service.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


def _commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every verb with its help text."""
    for name, each in getattr(command, "commands", {}).items():
        yield " ".join((*path, name)), each.help or ""
        yield from _commands(each, (*path, name))


VERBS = dict(_commands(typer.main.get_command(program.app)))


def _run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["streams", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_the_help_of_every_verb_has_an_example_that_begins_with_it(verb: str) -> None:
    """One example says more than ten options."""
    _, found, example = VERBS[verb].partition("Example: ")
    assert found
    assert f"streams {verb}" in example


def test_the_verbs_are_those_of_the_documentation() -> None:
    """None gets lost when the command line is put together."""
    assert {verb for verb in VERBS if " " not in verb} == {
        *("kill", "cancel", "pause", "resume", "restart", "purge"),
        *("invoke", "send", "batch", "flow", "demo", "up", "worker", "gateway", "broker", "token"),
        *("topics", "schemas", "tail", "dead-letters", "verify", "export", "invocation"),
    }


def test_the_version_is_the_packages(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` needs neither settings nor broker."""
    assert _run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"streams {__version__}\n"


@pytest.mark.parametrize("words", [["--version"], ["--help"], []])
def test_version_and_help_load_nothing_that_takes_long(words: list[str]) -> None:
    """Nor what a part of the installations lacks."""
    command = [sys.executable, "-X", "importtime", "-m", "streams", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert {"typer", "streams"} <= loaded
    heavy = {"asyncio", "confluent_kafka", "cramjam", "fastavro", "faust", "numpy", "prometheus_client", "sqlite3"}
    assert not loaded & (heavy | {"dotenv", "pydantic_settings", "structlog", "uuid_utils"})


def test_the_line_of_a_verb_is_how_its_own_help_begins() -> None:
    """The list of all verbs is made without loading any."""
    assert {name: verb.line for name, verb in verbs.VERBS.items()} == {
        name: text.partition("\n")[0] for name, text in VERBS.items() if " " not in name
    }


def test_a_paragraph_of_a_help_is_one_line() -> None:
    """The terminal breaks it, whatever its width."""
    first, *rest = VERBS["flow cancel"].split("\n\n")
    assert first == "Cancel a flow: its members end, on all partitions, and so do those that join later."
    assert len(rest) == 2
    assert "\n" not in "".join(rest)


def test_completion_without_a_broker_offers_nothing_and_soon(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever pressed Tab is not kept waiting, and is told no error in the middle of a line."""
    monkeypatch.setenv("STREAMS_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("_STREAMS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "streams batch show ")
    monkeypatch.setenv("COMP_CWORD", "3")
    began = time.monotonic()
    assert _run(monkeypatch) == 0
    assert time.monotonic() - began < 20
    assert "".join(capsys.readouterr()).strip() == ""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("kill --status ru", ["running"]),
        ("purge --status KI", ["KILLED"]),
        ("invocation list --not-status RUN", ["RUNNING"]),
        ("invocation count --group-by dep", ["deployment"]),
        ("batch list --state aborted", ["ABORTED"]),
        ("schemas show Inv", ["InvocationRow", "Invoke"]),
        ("tail dead", ["dead-letters"]),
    ],
)
def test_values_are_completed_by_the_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, completed: list[str]
) -> None:
    """Those of which there are few, and the same everywhere."""
    monkeypatch.setenv("_STREAMS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"streams {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    assert _run(monkeypatch) == 0
    assert capsys.readouterr().out.split() == completed


def test_a_schema_is_found_in_any_case_and_a_near_one_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`schemas show invoke` is what one types first."""
    assert _run(monkeypatch, "schemas", "show", "invoke") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "Invoke"
    assert _run(monkeypatch, "schemas", "show", "starbatch") == 1
    assert "there is no record starbatch: did you mean StartBatch?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StreamsError("topic t does not exist: [run] `streams topics create`"), "error: topic t does not exist: [run]"),
        (ConfigError("STREAMS_A=1: bad\nSTREAMS_B=2: bad"), "error: STREAMS_A=1: bad\nerror: STREAMS_B=2: bad"),
        (RuntimeError("x"), "error: RuntimeError: x; this should not happen"),
    ],
)
def test_an_error_is_told_in_lines_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    """Exit code 1, everything on stderr, brackets in the message kept."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.delenv("STREAMS_DEBUG", raising=False)
    monkeypatch.setattr(batch, "connection_of_command", fail)
    assert _run(monkeypatch, "batch", "list") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(said)
    assert "Traceback" not in shown.err


def test_debug_shows_where_an_error_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """`STREAMS_DEBUG=1` lets the traceback through."""

    def fail() -> None:
        raise StreamsError("x")

    monkeypatch.setenv("STREAMS_DEBUG", "1")
    monkeypatch.setattr(batch, "connection_of_command", fail)
    monkeypatch.setattr(sys, "argv", ["streams", "batch", "list"])
    with pytest.raises(StreamsError):
        main()
