"""Verbs that start a batch: what is sent, asked, printed and returned; log and progress are stand-ins here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import pytest
from typer.testing import CliRunner

from streams.cli import follow, kill, nothing, preview
from streams.cli.app import app
from streams.client import BatchTimeoutError, Delivery
from streams.model import Action, BatchProgress, BatchState, Exclusion, Filter, OnTimeout, StartBatch, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result


def _progress(start: StartBatch, state: BatchState, **changes: Any) -> BatchProgress:
    fields: dict[str, Any] = {
        "batch_id": start.batch_id,
        "action": start.action,
        "filter": start.filter,
        "dry_run": start.dry_run,
        "limit": start.limit,
        "max_rate": start.max_rate,
        "grace_ms": 30_000 if start.action is Action.CANCEL and start.grace_ms is None else start.grace_ms,
        "on_timeout": start.on_timeout,
        "standing_until": start.standing_until,
        "expires_at": start.expires_at,
        "reason": start.reason,
        "actor": start.actor,
        "invocation_ids_count": None,
        "state": state,
        "error": None,
        "partitions_total": 4,
        "partitions_done": 4,
        "scan_total": 10,
        "scanned": 10,
        "matched": 7,
        "done": 7,
        "pending": 0,
        "skipped": 0,
        "failed": 0,
        "rate": 7.0,
        "eta_ms": None,
        "samples": (),
        "failures": (),
        "revision": 5,
        "created_at": 1_000,
        "updated_at": 2_000,
        "finished_at": 2_000,
    }
    return BatchProgress(**(fields | changes))


@dataclass
class Service:
    """Stands in for log and gateway: keeps what was sent, answers with the progress it is told to."""

    sent: list[StartBatch] = field(default_factory=list)
    earlier: list[BatchProgress] = field(default_factory=list)
    answer: Callable[[StartBatch], Iterator[BatchProgress]] = lambda start: iter(
        [_progress(start, BatchState.RUNNING, done=3, pending=4), _progress(start, BatchState.COMPLETED)]
    )

    def latest(self, _timeout: float) -> dict[str, BatchProgress]:
        """As a reader of progress has them."""
        return {each.batch_id: each for each in self.earlier}

    def run(self, *words: str, typed: str = "") -> Result:
        """One command line, and what is typed when it asks."""
        return CliRunner().invoke(app, list(words), input=typed)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """The command line connected to a stand-in."""
    made = Service()

    class Client:
        def __init__(self, _settings: object) -> None: ...

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def send(self, command: StartBatch, on_delivery: Callable[[Delivery], None]) -> None:
            made.sent.append(command)
            on_delivery(Delivery(command.batch_id, 2, 41, None))

        def start_batch(self, command: StartBatch) -> None:
            made.sent.append(command)

    class ProgressReader:
        def __init__(self, _settings: object) -> None: ...

        def follow(self, _batch_id: str, _timeout: float | None, _on_quiet: object) -> Iterator[BatchProgress]:
            return made.answer(made.sent[-1])

    for module in (kill, preview):
        monkeypatch.setattr(module, "Client", Client)
    for module in (follow, preview):
        monkeypatch.setattr(module, "ProgressReader", ProgressReader)
    monkeypatch.setattr(nothing, "ProgressReader", lambda _: made)
    monkeypatch.setattr(kill, "settings_of_command", lambda: None)
    monkeypatch.setattr(kill.getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(kill.socket, "gethostname", lambda: "desk")
    return made


def test_a_kill_is_one_command_with_the_filter_and_its_reason(service: Service) -> None:
    """Exactly one `StartBatch` is sent, whatever it will match."""
    result = service.run("kill", "-s", "billing", "-s", "emails", "--reason", "bad deploy", "--batch-id", "b-7", "-y")
    assert result.exit_code == 0
    assert service.sent == [
        StartBatch("b-7", Action.KILL, Filter(services=("billing", "emails")), reason="bad deploy", actor="ada@desk"),
    ]


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


@pytest.mark.parametrize("action", [Action.PAUSE, Action.RESUME, Action.PURGE])
def test_the_other_actions_are_one_command_likewise(service: Service, action: Action) -> None:
    """A verb each, with the same options; none of them has a grace."""
    result = service.run(action.lower(), "-s", "billing", "--reason", "why", "--batch-id", "b-7", "-y")
    assert result.exit_code == 0
    assert service.sent == [StartBatch("b-7", action, Filter(services=("billing",)), reason="why", actor="ada@desk")]
    assert service.run(action.lower(), "--all", "-y", "--grace", "1s").exit_code == 2


def test_a_purge_may_name_what_has_ended(service: Service) -> None:
    """It is the only verb that may: the others only act on what has not."""
    assert service.run("purge", "--status", "completed", "-y").exit_code == 0
    assert service.sent[0].filter == Filter(statuses=(Status.COMPLETED,))
    assert service.run("resume", "--status", "completed", "-y").exit_code == 2


def test_a_user_without_a_name_is_no_reason_to_stop(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a bare number."""

    def nameless() -> str:
        raise KeyError("uid not found: 1234")

    monkeypatch.setattr(kill.getpass, "getuser", nameless)
    assert service.run("kill", "--all", "-y").exit_code == 0
    assert service.sent[0].actor == "unknown@desk"


def test_json_puts_one_object_on_stdout_and_nothing_else(service: Service) -> None:
    """It holds the last progress and where the command stands in the log."""
    result = service.run("kill", "--all", "-y", "--json", "--batch-id", "b")
    shown = json.loads(result.stdout)
    assert (shown["state"], shown["done"], shown["matched"]) == ("COMPLETED", 7, 7)
    assert shown["command"] == {"partition": 2, "offset": 41}


def test_no_wait_returns_with_the_place_in_the_log(service: Service) -> None:
    """The id to watch it by is part of the answer."""
    result = service.run("kill", "--all", "-y", "--no-wait", "--json", "--batch-id", "b")
    assert json.loads(result.stdout) == {"batch_id": "b", "command": {"partition": 2, "offset": 41}}


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


def test_without_a_terminal_a_kill_wants_yes(service: Service) -> None:
    """A script that did not say so kills nothing."""
    result = service.run("kill", "--all")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert service.sent == []


def test_a_dry_run_asks_nobody(service: Service) -> None:
    """It touches nothing."""
    assert service.run("kill", "--all", "--dry-run").exit_code == 0
    assert service.sent[0].dry_run


@pytest.mark.parametrize(("answer", "kills"), [("y\n", 1), ("n\n", 0), ("\n", 0)])
def test_on_a_terminal_a_dry_run_comes_first_and_only_yes_sends_the_command(
    service: Service, monkeypatch: pytest.MonkeyPatch, answer: str, kills: int
) -> None:
    """The question says how many; samples say which; no answer means no."""
    monkeypatch.setattr(preview, "on_a_terminal", lambda: True)
    service.answer = lambda start: iter(
        [_progress(start, BatchState.COMPLETED, matched=13_333, done=13_333, samples=("i-1", "i-2"))]
    )
    result = service.run("kill", "-s", "billing", typed=answer)
    assert [start.dry_run for start in service.sent] == [True, False][: 1 + kills]
    assert all(start.filter == Filter(services=("billing",)) for start in service.sent)
    assert result.exit_code == (0 if kills else 1)
    assert "preview: invocations of service billing\n" in result.stderr
    assert "\n13,333 match:\n  i-1\n  i-2\n  ...\n" in result.stderr
    assert "Kill 13,333 invocations? [y/N]" in result.stderr


def test_a_preview_that_finds_nothing_to_do_sends_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked about no invocations; that is no failure."""
    monkeypatch.setattr(preview, "on_a_terminal", lambda: True)
    service.answer = lambda start: iter([_progress(start, BatchState.COMPLETED, matched=2, done=0, skipped=2)])
    result = service.run("cancel", "--all")
    assert (result.exit_code, len(service.sent)) == (0, 1)
    assert "2 match, 2 of them with nothing to cancel" in result.stderr
    assert "nothing was sent" in result.stderr


@pytest.mark.parametrize("matched", [0, 3])
def test_json_is_one_object_also_when_nothing_was_sent(
    service: Service, monkeypatch: pytest.MonkeyPatch, matched: int
) -> None:
    """Whether nothing matched or the answer was no: there is no batch then."""
    monkeypatch.setattr(preview, "on_a_terminal", lambda: True)
    service.answer = lambda start: iter([_progress(start, BatchState.COMPLETED, matched=matched, done=matched)])
    result = service.run("kill", "--all", "--json", typed="n\n")
    assert json.loads(result.stdout[result.stdout.index("{") :]) == {"batch_id": None, "state": None, "command": None}
    assert [each.dry_run for each in service.sent] == [True]


def test_a_preview_that_is_rejected_ends_there(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason."""
    monkeypatch.setattr(preview, "on_a_terminal", lambda: True)
    service.answer = lambda start: iter([_progress(start, BatchState.REJECTED, error="not_supported: x")])
    result = service.run("kill", "--all", typed="y\n")
    assert (result.exit_code, len(service.sent)) == (1, 1)
    assert "REJECTED: not_supported: x" in result.stderr


def test_ctrl_c_during_the_preview_sends_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130."""

    def answer(_start: StartBatch) -> Iterator[BatchProgress]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(preview, "on_a_terminal", lambda: True)
    service.answer = answer
    result = service.run("kill", "--all")
    assert (result.exit_code, [each.dry_run for each in service.sent]) == (130, [True])
    assert "nothing was sent but a dry run" in result.stderr


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), "Cancel 1 invocation? What has not ended within 30s is killed."),
        (("--grace", "2m", "--on-timeout", "leave"), "Cancel 1 invocation? What has not ended within 2m is left."),
    ],
)
def test_the_question_before_a_cancel_says_what_becomes_of_the_rest(
    service: Service, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], asked: str
) -> None:
    """A cancel may end in a kill: nobody should learn that afterwards."""
    monkeypatch.setattr(preview, "on_a_terminal", lambda: True)
    service.answer = lambda start: iter([_progress(start, BatchState.COMPLETED, matched=1, done=1)])
    assert asked in service.run("cancel", "--all", *words, typed="n\n").stderr


@pytest.mark.parametrize(
    ("verb", "asked"),
    [
        ("pause", "Pause 2 invocations? [y/N]"),
        ("resume", "Resume 2 invocations? [y/N]"),
        ("purge", "Purge 2 invocations? They are removed for good, payloads included. [y/N]"),
    ],
)
def test_the_question_before_a_purge_says_that_it_cannot_be_undone(
    service: Service, monkeypatch: pytest.MonkeyPatch, verb: str, asked: str
) -> None:
    """What is paused can be resumed; what is purged is gone."""
    monkeypatch.setattr(preview, "on_a_terminal", lambda: True)
    service.answer = lambda start: iter([_progress(start, BatchState.COMPLETED, matched=2, done=2)])
    assert asked in service.run(verb, "--all", typed="n\n").stderr


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
    service.answer = lambda start: iter([_progress(start, state, **changes)])
    result = service.run("kill", "--all", "-y")
    assert result.exit_code == code
    assert said in result.stderr


def test_a_timeout_prints_what_was_seen_and_returns_1(service: Service) -> None:
    """The batch goes on, and the error says how to look again."""

    def answer(start: StartBatch) -> Iterator[BatchProgress]:
        yield _progress(start, BatchState.RUNNING, done=3, pending=4)
        raise BatchTimeoutError("has not ended")

    service.answer = answer
    result = service.run("kill", "--all", "-y", "--json", "--timeout", "1s")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["state"] == "RUNNING"
    assert "has not ended" in result.stderr


def test_ctrl_c_leaves_the_batch_alone_and_says_how_to_watch_it_again(service: Service) -> None:
    """Exit code 130; nothing is sent besides the one command."""

    def answer(start: StartBatch) -> Iterator[BatchProgress]:
        yield _progress(start, BatchState.RUNNING)
        raise KeyboardInterrupt

    service.answer = answer
    result = service.run("kill", "--all", "-y", "--batch-id", "b-7")
    assert result.exit_code == 130
    assert "streams batch watch b-7" in result.stderr
    assert len(service.sent) == 1


def test_the_end_of_an_earlier_batch_with_the_same_id_is_not_taken_for_success(service: Service) -> None:
    """An id that is taken by other content changes nothing, so the exit code is 1."""
    service.answer = lambda start: iter([_progress(start, BatchState.COMPLETED, filter=Filter(services=("other",)))])
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
    service.answer = lambda start: iter([_progress(start, BatchState.COMPLETED, **earlier)])
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


@pytest.mark.parametrize("matches", [0, 7])
def test_whoever_makes_a_batch_stand_is_asked_though_nothing_matches_yet(
    service: Service, monkeypatch: pytest.MonkeyPatch, matches: int
) -> None:
    """The preview itself does not stand; the question says what else will be ended."""
    monkeypatch.setattr(preview, "on_a_terminal", lambda: True)
    service.answer = lambda start: iter([_progress(start, BatchState.COMPLETED, matched=matches, done=matches)])
    result = service.run("kill", "-s", "billing", "--standing-until", "2100-01-01", typed="y\n")
    dry, wet = service.sent
    assert (dry.dry_run, dry.standing_until) == (True, None)
    assert (wet.dry_run, wet.standing_until) == (False, 4_102_444_800_000)
    asked = f"Kill {matches} invocations? So is whatever else matches and arrives until 2100-01-01 00:00:00Z."
    assert asked in " ".join(result.stderr.split())


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


def test_a_preview_is_limited_but_neither_slow_nor_short_lived(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts what the batch would end, as fast as it can."""
    monkeypatch.setattr(preview, "on_a_terminal", lambda: True)
    service.run("kill", "-s", "billing", "--limit", "5", "--max-rate", "1", "--expires-at", "1h", typed="y\n")
    dry, wet = service.sent
    assert (dry.dry_run, dry.limit, dry.max_rate, dry.expires_at) == (True, 5, None, None)
    assert (wet.dry_run, wet.limit, wet.max_rate) == (False, 5, 1.0)
    assert wet.expires_at is not None


def _earlier(batch_id: str, matched: int, **chosen: Any) -> BatchProgress:
    start = StartBatch(batch_id, Action.KILL, Filter(**chosen))
    return _progress(start, BatchState.COMPLETED, matched=matched, done=matched)


@pytest.mark.parametrize("words", [("--yes",), ("--dry-run",), ("--dry-run", "--json")])
def test_a_filter_that_matches_nothing_is_said_in_words_with_names_like_it(
    service: Service, words: tuple[str, ...]
) -> None:
    """Exit code 0, for nothing has failed; the names are those by which earlier batches found something."""
    service.earlier = [
        _earlier("b-1", 3, services=("emails",), handlers=("send",)),
        _earlier("b-2", 0, services=("emials-2",)),
        _earlier("b-3", 3, services=("emial", "orders")),
    ]
    service.answer = lambda start: iter([_progress(start, BatchState.COMPLETED, matched=0, done=0)])
    result = service.run("kill", "-s", "emials", "--handler", "send", *words)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-2:] == [
        "nothing matches: there are no invocations of service emials, and handler send that have not ended",
        "service emials: did you mean emails? An earlier batch has found that",
    ]


def test_a_preview_that_matches_nothing_says_so_before_it_ends(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked then."""
    monkeypatch.setattr(preview, "on_a_terminal", lambda: True)
    service.answer = lambda start: iter([_progress(start, BatchState.COMPLETED, matched=0, done=0)])
    result = service.run("purge", "-s", "emials")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-3:] == [
        "0 match",
        "nothing matches: there are no invocations of service emials that have ended",
        "nothing was sent",
    ]


@pytest.mark.parametrize("verb", ["kill", "cancel", "pause", "resume", "purge"])
def test_a_word_alone_is_answered_with_the_option_it_may_be_meant_for(service: Service, verb: str) -> None:
    """Exit code 2, nothing is sent."""
    result = service.run(verb, "emails", "--yes")
    assert (result.exit_code, service.sent) == (2, [])
    said = " ".join(result.stderr.replace("\u2502", " ").split())
    assert "'emails' is no option: write -s emails for a service, --id emails for an id" in said
    assert "No such option" in service.run(verb, "emails", "--nothing").stderr
