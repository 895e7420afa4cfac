"""What a preview, and the end of a cancel, learn from the gateway."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from streams.cli.show import facts
from streams.model import Action, BatchState, Cause, Ending, Filter, StartBatch, Status
from support.service.invocations_api import InvocationsApi, view
from support.service.stand_in import Service, progress_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from streams.listing.views import InvocationView
    from streams.model import BatchProgress

ROWS = [
    *(view(f"i-{n}", Status.RUNNING, service="a", deployment_id="v1", created_at=1_000 * n) for n in range(1, 13)),
    view("p", Status.PENDING, service="b", created_at=100_000),
    view("over", Status.COMPLETED, service="a", created_at=500_000),
]
SAMPLES = tuple(f"i-{number}" for number in range(1, 14))


def _previewed(service: Service, *words: str, matched: int = 13) -> list[str]:
    """The lines of a preview on a terminal that is answered with no."""
    service.answer = lambda start: iter(
        [progress_of(start, BatchState.COMPLETED, matched=matched, done=matched, samples=SAMPLES)]
    )
    lines = service.run(*words, typed="n\n").stderr.splitlines()
    return [" ".join(line.split()) for line in lines]


def test_a_preview_tells_what_it_is_about(service: Service) -> None:
    """By status, service and deployment, the newest and the oldest, ten samples: of what the action looks at only."""
    service.api = InvocationsApi(*ROWS)
    lines = _previewed(service, "kill", "--all")
    begin = lines.index("13 match:")
    assert lines[begin + 1 : begin + 12] == [*SAMPLES[:10], "..."]
    told = lines[begin + 12 : begin + 17]
    assert told[:3] == ["by status PENDING 1, RUNNING 12", "by service a 12, b 1", "by deployment v1 12, none 1"]
    assert told[3].startswith("newest created 1970-01-01 00:01:40Z, ")
    assert told[4].startswith("oldest created 1970-01-01 00:00:01Z, ")


def test_of_many_the_oldest_is_the_first_sample_of_a_slice(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every slice goes from the oldest row to the newest: no list is read to its end for that."""
    monkeypatch.setattr(facts, "_ONE_PAGE", 5)
    slices = [{"partition": 0, "samples": ["i-3", "i-4"]}, {"partition": 1, "samples": ["i-2"]}, {"partition": 2}]
    service.api = api = InvocationsApi(*ROWS, slices=slices)
    lines = _previewed(service, "kill", "--all")
    assert any(line.startswith("oldest created 1970-01-01 00:00:02Z, ") for line in lines)
    assert all("limit=500" not in str(each.url) or "invocation_id" in str(each.url) for each in api.asked)


def test_many_groups_are_counted_not_listed(service: Service) -> None:
    """The five largest are named; partitions that are missing are, too."""
    rows = [view(f"{n}-{i}", service=f"s-{n}") for n in range(8) for i in range(n + 1)]
    service.api = InvocationsApi(*rows, missing=(3,))
    lines = _previewed(service, "kill", "--all")
    assert "by service s-7 8, s-6 7, s-5 6, s-4 5, s-3 4, 3 others" in lines
    assert "without partitions that gave no answer: 3" in lines


def test_many_ids_are_not_looked_up(service: Service, tmp_path: Path) -> None:
    """Hundreds of requests would keep whoever waits for the question; a limit does not bind what is looked up."""
    service.api = api = InvocationsApi(*ROWS)
    file = tmp_path / "ids"
    file.write_text("".join(f"i-{number}\n" for number in range(501)), encoding="utf-8")
    lines = _previewed(service, "kill", "--ids-file", str(file))
    assert "not looked up by status, service and age: 501 ids are too many" in lines
    assert api.asked == []
    lines = _previewed(service, "kill", "--id", "i-1", "--id", "i-2", "--limit", "1")
    assert lines[lines.index("of all that match, beyond the limit too:") + 1] == "by status RUNNING 2"


def test_without_a_gateway_the_preview_is_told_all_the_same(service: Service) -> None:
    """Number and samples, and a line with the reason why there is no more."""
    lines = _previewed(service, "kill", "--all")
    assert "13 match:" in lines
    assert "not known by status, service and age: the gateway at http://127.0.0.1:8080 does not answer" in lines
    assert any("Kill 13 invocations? [y/N]" in line for line in lines)


def test_a_dry_run_says_would(service: Service) -> None:
    """It has done nothing."""
    service.answer = lambda start: iter([progress_of(start, BatchState.COMPLETED, skipped=2, done=5)])
    shown = service.run("cancel", "--all", "--dry-run").stdout
    pairs = [tuple(line.rsplit(None, 1)) for line in shown.splitlines()]
    assert [(name.strip(), value) for name, value in pairs if "would" in name or "matched" in name] == [
        ("matched", "7"),
        ("would cancel", "5"),
        ("would skip", "2"),
    ]
    assert not any(line.startswith(("done", "pending", "failed")) for line in shown.splitlines())


def _ended(status: Status, count: int) -> Iterator[InvocationView]:
    for number in range(count):
        yield view(f"{status}-{number}", status, batch_id="b", ending=Ending(Cause(batch_id="b")))


def _cancelled(start: StartBatch) -> Iterator[BatchProgress]:
    yield progress_of(start, BatchState.COMPLETED, matched=10, done=10)


def test_a_cancel_ends_with_how_many_ended_as_asked_and_how_many_were_killed(service: Service) -> None:
    """In words, and in JSON."""
    service.answer = _cancelled
    kinds = ((Status.CANCELLED, 5), (Status.KILLED, 3), (Status.COMPLETED, 2))
    service.api = InvocationsApi(view("other"), *(each for kind, count in kinds for each in _ended(kind, count)))
    words = ("cancel", "--all", "--yes", "--batch-id", "b")
    shown = service.run(*words).stdout
    assert "of these    5 cancelled as asked, 2 completed by themselves, 3 killed after their grace" in shown
    counts = {"CANCELLED": 5, "KILLED": 3, "COMPLETED": 2}
    assert json.loads(service.run(*words, "--json").stdout)["ended_as"] == counts
    assert json.loads(service.run("batch", "watch", "b", "--json").stdout)["ended_as"] == counts


def test_ends_that_are_not_to_be_seen_yet_are_asked_for_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's answer may be a second old."""
    monkeypatch.setattr(facts, "_PAUSE_S", 0.0)
    service.answer = _cancelled
    stages = [InvocationsApi(*_ended(Status.CANCELLED, count)) for count in (3, 7, 10, 10)]

    def api(request: httpx.Request) -> httpx.Response:
        return (stages.pop(0) if len(stages) > 1 else stages[0])(request)

    service.api = api
    assert "10 cancelled as asked" in service.run("cancel", "--all", "--yes", "--batch-id", "b").stdout


@pytest.mark.parametrize(
    "words",
    [("kill", "--all", "--yes"), ("cancel", "--all", "--dry-run", "--json"), ("cancel", "--all", "--yes", "--no-wait")],
)
def test_nobody_asks_how_they_ended_where_there_is_no_choice(service: Service, words: tuple[str, ...]) -> None:
    """A kill kills; a dry run ends nothing."""
    service.api = api = InvocationsApi()
    assert service.run(*words).exit_code == 0
    assert api.asked == []


def test_without_a_gateway_a_cancel_ends_all_the_same(service: Service) -> None:
    """Exit code 0, and a line that says what is not known."""
    service.answer = _cancelled
    result = service.run("cancel", "--all", "--yes")
    assert result.exit_code == 0
    assert "how they have ended is not known: the gateway at http://127.0.0.1:8080 does not answer\n" in result.stderr
    assert "of these" not in result.stdout


def test_the_words_for_what_is_left_or_forgotten() -> None:
    """A cancel may leave what does not end; retention may have taken the rest."""
    assert facts.ends_in_words({"CANCELLING": 2, "FAILED": 1}) == "1 failed by themselves, 2 left as they are"
    assert facts.ends_in_words({}) == "forgotten by now"


def test_only_a_cancel_that_is_completed_has_ends() -> None:
    """The counters of an aborted one are not final."""
    start: Any = StartBatch("b", Action.CANCEL, Filter(match_all=True))
    assert facts.ends_of(progress_of(start, BatchState.ABORTED)) is None
