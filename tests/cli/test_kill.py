"""Verbs that start a batch: what is sent, asked, printed and returned."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from streams.client import BatchTimeoutError
from streams.config import load_settings
from streams.model import Action, BatchProgress, BatchState, Exclusion, Filter, OnTimeout, StartBatch, Status
from support.service.stand_in import ME, Service, progress_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_kill_is_one_command_with_the_filter_and_its_reason(service: Service) -> None:
    """Exactly one `StartBatch` is sent, whatever it will match."""
    result = service.run("kill", "-s", "billing", "-s", "emails", "--reason", "bad deploy", "--batch-id", "b-7", "-y")
    assert result.exit_code == 0
    assert service.sent == [
        StartBatch("b-7", Action.KILL, Filter(services=("billing", "emails")), reason="bad deploy", actor=ME),
    ]


def test_who_asks_is_set_for_all_commands_by_a_variable(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a container, the user and the host say nothing; an option says more than the variable."""
    service.settings = service.settings.model_copy(update={"actor": "night-shift"})
    service.run("kill", "--all", "--yes")
    service.run("kill", "--all", "--yes", "--actor", "ada")
    service.run("flow", "cancel", "f", "--yes", "--no-wait")
    service.run("batch", "abort", service.sent[0].batch_id, "--no-wait")
    assert [each.actor for each in service.sent] == ["night-shift", "ada", "night-shift", "night-shift"]
    monkeypatch.setenv("STREAMS_ACTOR", "cron")
    assert load_settings().actor == "cron"


def test_a_cancel_carries_grace_and_what_happens_at_its_end(service: Service) -> None:
    """Durations become milliseconds, choices are not case-sensitive."""
    words = ("--grace", "2m", "--on-timeout", "leave", "--batch-id", "b", "--actor", "cron", "--yes")
    service.run("cancel", "--all", *words)
    everything = Filter(match_all=True)
    assert service.sent == [
        StartBatch("b", Action.CANCEL, everything, grace_ms=120_000, on_timeout=OnTimeout.LEAVE, actor="cron")
    ]


def test_a_kill_of_all_that_is_not_of_some_is_one_command(service: Service) -> None:
    """What is left out stands in the same record."""
    result = service.run("kill", "-s", "emails", "--not-label", "tenant=gold", "--not-label", "tenant=silver", "-y")
    assert result.exit_code == 0
    (start,) = service.sent
    left_out = Exclusion(labels_in={"tenant": ("gold", "silver")})
    assert start.filter == Filter(services=("emails",), exclude=left_out)
    shown = " ".join(result.stdout.split())
    assert "invocations of service emails, but none of label tenant=gold or tenant=silver" in shown


@pytest.mark.parametrize("action", [Action.PAUSE, Action.RESUME, Action.RESTART, Action.PURGE])
def test_the_other_actions_are_one_command_likewise(service: Service, action: Action) -> None:
    """A verb each, with the same options; none of them has a grace."""
    result = service.run(action.lower(), "-s", "billing", "--reason", "why", "--batch-id", "b-7", "-y")
    assert result.exit_code == 0
    assert service.sent == [StartBatch("b-7", action, Filter(services=("billing",)), reason="why", actor=ME)]
    assert service.run(action.lower(), "--all", "-y", "--grace", "1s").exit_code == 2


@pytest.mark.parametrize("verb", ["purge", "restart"])
def test_a_purge_and_a_restart_may_name_what_has_ended(service: Service, verb: str) -> None:
    """They are the only verbs that may: the others only act on what has not."""
    assert service.run(verb, "--status", "completed", "-y").exit_code == 0
    assert service.sent[0].filter == Filter(statuses=(Status.COMPLETED,))
    assert service.run("resume", "--status", "completed", "-y").exit_code == 2
    refused = service.run(verb, "--status", "running", "-y")
    assert refused.exit_code == 2
    assert "RUNNING has not ended" in " ".join(refused.stderr.split())


def test_a_kill_is_undone_by_a_restart_of_its_batch(service: Service) -> None:
    """The help of the kill says so; the rows are found by the batch that ended them."""
    assert "streams restart --batch ID" in " ".join(service.run("kill", "--help").stdout.split())
    assert service.run("restart", "--batch", "b-7", "-y", "--batch-id", "undo").exit_code == 0
    assert service.sent == [StartBatch("undo", Action.RESTART, Filter(batch_ids=("b-7",)), actor=ME)]


def test_a_user_without_a_name_is_no_reason_to_stop(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a bare number."""

    def nameless() -> str:
        raise KeyError("uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert service.run("kill", "--all", "-y").exit_code == 0
    assert service.sent[0].actor == f"unknown@{socket.gethostname()}"


def test_json_puts_one_object_on_stdout_and_nothing_else(service: Service) -> None:
    """It holds the last progress and where the command is in the log."""
    result = service.run("kill", "--all", "-y", "--json", "--batch-id", "b")
    shown = json.loads(result.stdout)
    assert (shown["state"], shown["done"], shown["matched"]) == ("COMPLETED", 7, 7)
    assert shown["command"] == {"partition": 0, "offset": 0}


def test_no_wait_returns_with_the_place_in_the_log(service: Service) -> None:
    """The id to watch it by is part of the answer."""
    result = service.run("kill", "--all", "-y", "--no-wait", "--json", "--batch-id", "b")
    assert json.loads(result.stdout) == {"batch_id": "b", "command": {"partition": 0, "offset": 0}}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--all"),
        (["--service", ""], "services"),
        (["--not-label", "tenant=gold"], "left out"),
        (["--not-service", "emails"], "left out"),
        (["--label", "tenant!=gold"], "--not-label tenant=gold"),
        (["--all", "--not-status", "COMPLETED"], "exclude.statuses"),
        (["--all", "--not-status", "READY", "--standing-until", "2h"], "exclude.statuses"),
        (["--status", "COMPLETED"], "statuses"),
        (["--created-after", "2026-02-01", "--created-before", "2026-01-01"], "--created-after"),
        (["--all", "--batch-id", ""], "--batch-id"),
        (["--all", "--reason", "x" * 1_001], "reason"),
        (["--all", "--batch-id", "x" * 257], "batch_id"),
        (["--all", "--timeout", "5"], "--timeout"),
        (["--flow", ""], "flow_ids"),
        (["--not-parent", "p"], "left out"),
    ],
)
def test_what_the_engine_would_refuse_is_refused_before_anything_is_sent(
    service: Service, words: list[str], said: str
) -> None:
    """Exit code 2, the field named, nothing in the log."""
    result = service.run("kill", "--yes", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert service.sent == []


@pytest.mark.parametrize(
    ("state", "changes", "code", "said"),
    [
        (BatchState.COMPLETED, {}, 0, ""),
        (BatchState.COMPLETED, {"matched": 0, "done": 0}, 0, "nothing matches: there are no invocations that have"),
        (BatchState.COMPLETED, {"done": 5, "failed": 2}, 1, "2 did not end within their grace"),
        (BatchState.ABORTED, {"error": "expired"}, 1, "ABORTED: expired"),
        (BatchState.REJECTED, {"error": "not_supported: x"}, 1, "REJECTED: not_supported: x"),
    ],
)
def test_the_exit_code_is_0_only_for_a_batch_that_did_all_of_it(
    service: Service, state: BatchState, changes: dict[str, Any], code: int, said: str
) -> None:
    """A script need not read the counters."""
    service.answer = lambda start: iter([progress_of(start, state, **changes)])
    result = service.run("kill", "--all", "-y")
    assert result.exit_code == code
    assert said in result.stderr


def test_a_timeout_prints_what_was_seen_and_returns_1(service: Service) -> None:
    """The batch goes on, and the error says how to look again."""

    def answer(start: StartBatch) -> Iterator[BatchProgress]:
        yield progress_of(start, BatchState.RUNNING, done=3, pending=4)
        raise BatchTimeoutError("has not ended")

    service.answer = answer
    result = service.run("kill", "--all", "-y", "--json", "--timeout", "1s")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["state"] == "RUNNING"
    assert "has not ended" in result.stderr


def test_ctrl_c_leaves_the_batch_alone_and_says_how_to_watch_it_again(service: Service) -> None:
    """Exit code 130; nothing is sent besides the one command."""

    def answer(start: StartBatch) -> Iterator[BatchProgress]:
        yield progress_of(start, BatchState.RUNNING)
        raise KeyboardInterrupt

    service.answer = answer
    result = service.run("kill", "--all", "-y", "--batch-id", "b-7")
    assert result.exit_code == 130
    assert "streams batch watch b-7" in result.stderr
    assert len(service.sent) == 1


def test_the_end_of_an_earlier_batch_with_the_same_id_is_not_taken_for_success(service: Service) -> None:
    """An id that is taken by other content changes nothing, so the exit code is 1."""
    service.answer = lambda start: iter([progress_of(start, BatchState.COMPLETED, filter=Filter(services=("other",)))])
    result = service.run("kill", "--all", "-y", "--batch-id", "b-7")
    assert result.exit_code == 1
    assert "taken by an earlier batch" in result.stderr
    assert "differs: filter" in result.stderr


@pytest.mark.parametrize(
    ("words", "earlier", "option"),
    [
        (["--on-timeout", "kill"], {"on_timeout": OnTimeout.LEAVE}, "--on-timeout"),
        ([], {"grace_ms": 60_000}, "--grace"),
        (["--grace", "1m"], {"grace_ms": 30_000}, "--grace"),
        (["--actor", "ada"], {"actor": "cron"}, "--actor"),
        (["--grace", "30s"], {"grace_ms": 30_000}, None),
        ([], {"grace_ms": None}, None),
    ],
)
def test_an_earlier_cancel_of_that_id_must_be_the_same_cancel(
    service: Service, words: list[str], earlier: dict[str, Any], option: str | None
) -> None:
    """What happens after the grace, and when, are content too; the default grace is the same as the one spelt out."""
    service.answer = lambda start: iter([progress_of(start, BatchState.COMPLETED, **earlier)])
    result = service.run("cancel", "--all", "-y", "--batch-id", "b-7", *words)
    assert result.exit_code == (0 if option is None else 1)
    if option is not None:
        assert f"differs: {option}. " in result.stderr


def test_a_purge_of_what_has_not_ended_is_refused(service: Service) -> None:
    """It would find nothing and look like success."""
    result = service.run("purge", "-y", "--status", "completed", "--status", "running")
    assert result.exit_code == 2
    assert "RUNNING has not ended" in result.stderr
    assert service.sent == []


def test_a_batch_may_be_bounded(service: Service) -> None:
    """How many, how fast, until when: all of it stands in the command, and is shown with the result."""
    bounds = ["--limit", "500", "--max-rate", "12.5", "--expires-at", "2100-01-01T00:00:00Z"]
    result = service.run("cancel", "-s", "billing", "--batch-id", "b-7", "-y", *bounds)
    assert result.exit_code == 0
    (start,) = service.sent
    assert (start.limit, start.max_rate, start.expires_at) == (500, 12.5, 4_102_444_800_000)
    shown = " ".join(result.stdout.split())
    assert "limit 500 max rate 12.5/s expires 2100-01-01 00:00:00Z" in shown


@pytest.mark.parametrize("verb", ["kill", "cancel"])
def test_a_batch_may_stand(service: Service, verb: str) -> None:
    """Until when stands in the command, and is shown with the result; what ends nothing cannot stand."""
    until = ["--standing-until", "2100-01-01T00:00:00Z"]
    result = service.run(verb, "-s", "billing", "-y", *until)
    assert result.exit_code == 0
    assert [start.standing_until for start in service.sent] == [4_102_444_800_000]
    assert "stands until 2100-01-01 00:00:00Z" in " ".join(result.stdout.split())
    assert service.run("pause", "-s", "billing", "-y", *until).exit_code == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--limit", "0"], "limit is 0"),
        (["--standing-until", "later"], "--standing-until"),
        (["--standing-until", "1h", "--limit", "5"], "standing_until is set together with limit"),
        (["--standing-until", "1h", "--status", "READY"], "standing_until is set together with filter.statuses"),
        (["--max-rate", "0"], "max_rate is 0.0"),
        (["--max-rate", "nan"], "max_rate is nan"),
        (["--expires-at", "soon"], "--expires-at"),
    ],
)
def test_a_bound_that_is_none_is_not_sent(service: Service, words: list[str], told: str) -> None:
    """It is not understood."""
    result = service.run("kill", "-s", "billing", "-y", *words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert not service.sent


@pytest.mark.parametrize("verb", ["kill", "cancel", "pause", "resume", "purge"])
def test_a_word_alone_is_answered_with_the_option_it_may_be_meant_for(service: Service, verb: str) -> None:
    """Exit code 2, nothing is sent."""
    result = service.run(verb, "emails", "--yes")
    assert (result.exit_code, service.sent) == (2, [])
    said = " ".join(result.stderr.replace("\u2502", " ").split())
    assert "'emails' is not an option: write -s emails for a service, --id emails for an id" in said
    assert "No such option" in service.run(verb, "emails", "--nothing").stderr
