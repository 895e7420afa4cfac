"""What is shown and asked before a batch starts, and what becomes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from streams.model import Action, BatchProgress, BatchState, Filter, StartBatch
from support.service.stand_in import Service, progress_of

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    service: Service, answer: str, kills: int
) -> None:
    """The question says how many; samples say which; no answer means no."""
    service.answer = lambda start: iter(
        [progress_of(start, BatchState.COMPLETED, matched=13_333, done=13_333, samples=("i-1", "i-2"))]
    )
    result = service.run("kill", "-s", "billing", typed=answer)
    assert [start.dry_run for start in service.sent] == [True, False][: 1 + kills]
    assert all(start.filter == Filter(services=("billing",)) for start in service.sent)
    assert result.exit_code == (0 if kills else 1)
    assert "preview: invocations of service billing\n" in result.stderr
    assert "\n13,333 match:\n  i-1\n  i-2\n  ...\n" in result.stderr
    assert "Kill 13,333 invocations? [y/N]" in result.stderr


def test_a_preview_that_finds_nothing_to_do_sends_nothing(service: Service) -> None:
    """Nobody is asked about no invocations; that is not a failure."""
    service.answer = lambda start: iter([progress_of(start, BatchState.COMPLETED, matched=2, done=0, skipped=2)])
    result = service.run("cancel", "--all", typed="")
    assert (result.exit_code, len(service.sent)) == (0, 1)
    assert "2 match, 2 of them with nothing to cancel" in result.stderr
    assert "nothing was sent" in result.stderr


@pytest.mark.parametrize("matched", [0, 3])
def test_json_is_one_object_also_when_nothing_was_sent(service: Service, matched: int) -> None:
    """Whether nothing matched or the answer was no: there is no batch then."""
    service.answer = lambda start: iter([progress_of(start, BatchState.COMPLETED, matched=matched, done=matched)])
    result = service.run("kill", "--all", "--json", typed="n\n")
    assert json.loads(result.stdout[result.stdout.index("{") :]) == {"batch_id": None, "state": None, "command": None}
    assert [each.dry_run for each in service.sent] == [True]


def test_a_preview_that_is_rejected_ends_there(service: Service) -> None:
    """With the reason."""
    service.answer = lambda start: iter([progress_of(start, BatchState.REJECTED, error="not_supported: x")])
    result = service.run("kill", "--all", typed="y\n")
    assert (result.exit_code, len(service.sent)) == (1, 1)
    assert "REJECTED: not_supported: x" in result.stderr


def test_ctrl_c_during_the_preview_sends_nothing(service: Service) -> None:
    """Exit code 130."""

    def answer(start: StartBatch) -> Iterator[BatchProgress]:
        yield progress_of(start, BatchState.RUNNING)
        raise KeyboardInterrupt

    service.answer = answer
    result = service.run("kill", "--all", typed="")
    assert (result.exit_code, [each.dry_run for each in service.sent]) == (130, [True])
    assert "nothing was sent but a dry run" in result.stderr


@pytest.mark.parametrize("words", [("kill", "--all", "--json"), ("flow", "cancel", "f")])
def test_the_end_of_the_input_or_ctrl_c_at_the_question_sends_nothing(service: Service, words: tuple[str, ...]) -> None:
    """Exit code 130, and still one JSON object; nobody has said no."""
    service.answer = lambda start: iter([progress_of(start, BatchState.COMPLETED, matched=3, done=3)])
    result = service.run(*words, typed="")
    assert result.exit_code == 130
    assert "nothing was sent" in result.stderr
    assert "Aborted" not in result.output
    assert all(isinstance(each, StartBatch) and each.dry_run for each in service.sent)
    if "--json" in words:
        assert json.loads(result.stdout) == {"batch_id": None, "state": None, "command": None}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), "Cancel 1 invocation? What has not ended within 30s is killed."),
        (("--grace", "2m", "--on-timeout", "leave"), "Cancel 1 invocation? What has not ended within 2m is left."),
    ],
)
def test_the_question_before_a_cancel_says_what_becomes_of_the_rest(
    service: Service, words: tuple[str, ...], asked: str
) -> None:
    """A cancel may end in a kill: nobody should learn that afterwards."""
    service.answer = lambda start: iter([progress_of(start, BatchState.COMPLETED, matched=1, done=1)])
    assert asked in service.run("cancel", "--all", *words, typed="n\n").stderr


@pytest.mark.parametrize(
    ("verb", "asked"),
    [
        ("pause", "Pause 2 invocations? [y/N]"),
        ("resume", "Resume 2 invocations? [y/N]"),
        ("purge", "Purge 2 invocations? They are removed for good, payloads included. [y/N]"),
    ],
)
def test_the_question_before_a_purge_says_that_it_cannot_be_undone(service: Service, verb: str, asked: str) -> None:
    """What is paused can be resumed; what is purged is gone."""
    service.answer = lambda start: iter([progress_of(start, BatchState.COMPLETED, matched=2, done=2)])
    assert asked in service.run(verb, "--all", typed="n\n").stderr


@pytest.mark.parametrize("matches", [0, 7])
def test_whoever_makes_a_batch_stand_is_asked_though_nothing_matches_yet(service: Service, matches: int) -> None:
    """The preview itself does not stand; the question says what else will be ended."""
    service.answer = lambda start: iter([progress_of(start, BatchState.COMPLETED, matched=matches, done=matches)])
    result = service.run("kill", "-s", "billing", "--standing-until", "2100-01-01", typed="y\n")
    dry, wet = service.sent
    assert (dry.dry_run, dry.standing_until) == (True, None)
    assert (wet.dry_run, wet.standing_until) == (False, 4_102_444_800_000)
    asked = f"Kill {matches} invocations? So is whatever else matches and arrives until 2100-01-01 00:00:00Z."
    assert asked in " ".join(result.stderr.split())


def test_a_preview_is_limited_but_neither_slow_nor_short_lived(service: Service) -> None:
    """It counts what the batch would end, as fast as it can."""
    service.run("kill", "-s", "billing", "--limit", "5", "--max-rate", "1", "--expires-at", "1h", typed="y\n")
    dry, wet = service.sent
    assert (dry.dry_run, dry.limit, dry.max_rate, dry.expires_at) == (True, 5, None, None)
    assert (wet.dry_run, wet.limit, wet.max_rate) == (False, 5, 1.0)
    assert wet.expires_at is not None


def _earlier(batch_id: str, matched: int, **chosen: Any) -> BatchProgress:
    start = StartBatch(batch_id, Action.KILL, Filter(**chosen))
    return progress_of(start, BatchState.COMPLETED, matched=matched, done=matched)


@pytest.mark.parametrize("words", [("--yes",), ("--dry-run",), ("--dry-run", "--json")])
def test_a_filter_that_matches_nothing_is_said_in_words_with_names_like_it(
    service: Service, words: tuple[str, ...]
) -> None:
    """Exit code 0, for nothing has failed; the names are those by which earlier batches found something."""
    service.publish(
        _earlier("b-1", 3, services=("emails",), handlers=("send",)),
        _earlier("b-2", 0, services=("emials-2",)),
        _earlier("b-3", 3, services=("emial", "orders")),
    )
    service.answer = lambda start: iter([progress_of(start, BatchState.COMPLETED, matched=0, done=0)])
    result = service.run("kill", "-s", "emials", "--handler", "send", *words)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-2:] == [
        "nothing matches: there are no invocations of service emials, and handler send that have not ended",
        "service emials: did you mean emails? An earlier batch has found that",
    ]


def test_a_preview_that_matches_nothing_says_so_before_it_ends(service: Service) -> None:
    """Nothing is asked then."""
    service.answer = lambda start: iter([progress_of(start, BatchState.COMPLETED, matched=0, done=0)])
    result = service.run("purge", "-s", "emials", typed="")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-3:] == [
        "0 match",
        "nothing matches: there are no invocations of service emials that have ended",
        "nothing was sent",
    ]
