"""What the lists and tables say of a batch that stands."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from streams.cli.options.bounds import standing_of
from streams.cli.show.batches import listed_batches
from streams.cli.show.follow import table
from streams.model import Action, BatchProgress, BatchState, Filter, StartBatch
from support.service.stand_in import progress_of

UNTIL = 4_102_444_800_000


@pytest.fixture
def stands() -> BatchProgress:
    """The progress of a kill that stands until 2100."""
    start = StartBatch("b-7", Action.KILL, Filter(match_all=True), standing_until=UNTIL)
    return progress_of(start, BatchState.RUNNING, matched=0)


def printed(shown: object) -> str:
    """As it comes to a wide terminal."""
    console = Console(file=io.StringIO(), width=200)
    with console.capture() as captured:
        console.print(shown)
    return " ".join(captured.get().split())


def listed(batch: BatchProgress) -> str:
    """The lines of a list with this batch alone."""
    return "\n".join(line.plain for line in listed_batches([batch], None))


@pytest.mark.parametrize("state", [BatchState.STARTING, BatchState.RUNNING, BatchState.PAUSED])
def test_a_batch_that_stands_says_so(stands: BatchProgress, state: BatchState) -> None:
    """With its time, in the list and where it is shown by itself; a paused one may be resumed."""
    stands = replace(stands, state=state)
    assert "stands until 2100-01-01 00:00:00Z" in listed(stands)
    assert "stands until 2100-01-01 00:00:00Z" in printed(table(stands))
    assert standing_of(stands) == "stands until 2100-01-01 00:00:00Z"


@pytest.mark.parametrize(
    "change",
    [
        {"standing_until": None},
        {"dry_run": True},
        *({"state": state} for state in (BatchState.DRAINING, BatchState.COMPLETED, BatchState.ABORTED)),
    ],
)
def test_one_that_never_did_or_does_no_longer_does_not(stands: BatchProgress, change: dict[str, object]) -> None:
    """Neither does a dry run, whatever it was asked for."""
    other = replace(stands, **change)
    assert standing_of(other) is None
    assert "stands" not in listed(other)
