"""`batch list`: what it shows, and that it fits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rich.cells import cell_len

from streams.cli.show.batches import listed_batches
from streams.model import Action, BatchProgress, BatchState, Filter, StartBatch
from support.service.stand_in import Service, progress_of

ID = "019a5c1e-7f3a-7c40-8a5e-3b1f0c2d4e5f"
MANY = Filter(services=("billing", "emails"), labels={"tenant": "acme"}, created_until=1_000_000)


def _batch(batch_id: str = ID, state: BatchState = BatchState.COMPLETED, **changes: Any) -> BatchProgress:
    start = StartBatch(batch_id, Action.KILL, MANY, reason="bad deploy of the day before yesterday", actor="ada@host")
    return progress_of(start, state, **changes)


BATCHES = [
    _batch(matched=1_000_000, done=990_000, skipped=9_000, pending=1_000, state=BatchState.DRAINING, finished_at=None),
    _batch("b-standing", BatchState.RUNNING, standing_until=4_102_444_800_000, finished_at=None),
    _batch("b-rejected", BatchState.REJECTED, error="not_supported: x", matched=0, done=0),
    _batch("x" * 256, dry_run=True, action=Action.RESUME),
]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_list_fits_the_terminal_and_nothing_is_cut(width: int) -> None:
    """A batch has its line, and below it how far it is, whom it is about, who asked and why."""
    lines = [line.plain for line in listed_batches(BATCHES, width)]
    assert all(cell_len(line) <= width for line in lines)
    shown = " ".join(" ".join(lines).split())
    assert shown.startswith(f"batch action state created {ID} KILL DRAINING 1970-01-01 00:00:01Z 990,000 of 1,000,000 ")
    whom = "invocations of service billing or emails, and label tenant=acme, and created before 1970-01-01 00:16:40Z"
    assert f"done, 1,000 pending, 9,000 skipped · {whom} · by ada@host: bad deploy of the day before yesterday" in shown
    assert "b-standing KILL RUNNING" in shown
    assert "stands until 2100-01-01 00:00:00Z" in shown
    assert "0 of 0 done · not_supported: x ·" in shown
    assert "dry run: would resume 7 of 7 ·" in shown
    assert "".join(lines).count("x") >= 256


def test_without_a_terminal_a_batch_is_one_line() -> None:
    """So that a program may look for words in it."""
    lines = [line.plain for line in listed_batches(BATCHES, None)]
    assert len(lines) == 1 + len(BATCHES)
    assert lines[1].startswith(f"{ID}  KILL    DRAINING  1970-01-01 00:00:01Z  990,000 of 1,000,000 done, ")


@pytest.fixture
def listed(service: Service) -> Service:
    """A service with 25 batches of rising age, of which every fifth is a dry run, and the newest runs."""
    for number in range(25):
        state = BatchState.RUNNING if number == 24 else BatchState.COMPLETED
        service.publish(_batch(f"b-{number}", state, dry_run=number % 5 == 0, created_at=1_000 * number))
    return service


def _ids(service: Service, *words: str) -> list[str]:
    return [line.split()[0] for line in service.run("batch", "list", *words).stdout.splitlines()[1:]]


def test_the_newest_batches_come_first_and_dry_runs_only_when_asked_for(listed: Service) -> None:
    """What is left out is told on stderr, with the option that shows it."""
    real = [f"b-{number}" for number in range(24, 0, -1) if number % 5]
    assert _ids(listed) == real
    assert listed.run("batch", "list").stderr == "not shown: 5 dry runs: --dry-runs\n"
    assert _ids(listed, "--limit", "3") == real[:3]
    assert listed.run("batch", "list", "-n", "3").stderr == "not shown: 17 older: --limit; 5 dry runs: --dry-runs\n"
    assert _ids(listed, "--dry-runs") == [f"b-{number}" for number in range(24, 4, -1)]
    assert _ids(listed, "--state", "running", "--state", "paused") == ["b-24"]


def test_json_has_all_of_them_unless_a_limit_is_given(listed: Service) -> None:
    """In the one JSON form: times as text, absent fields left out."""
    whole = json.loads(listed.run("batch", "list", "--json", "--dry-runs").stdout)["batches"]
    assert len(whole) == 25
    assert whole[0]["created_at"] == "1970-01-01T00:00:24.000Z"
    assert "error" not in whole[0]
    assert len(json.loads(listed.run("batch", "list", "--json", "-n", "3").stdout)["batches"]) == 3


def test_no_batches_is_told_in_words(service: Service) -> None:
    """Exit code 0."""
    assert service.run("batch", "list").stderr == "no batches\n"
    service.publish(_batch(dry_run=True))
    result = service.run("batch", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no batches; 1 dry run: --dry-runs\n"
