"""The verbs that hold, let go, forget and steer, on a real broker: processes, exit codes, output."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.command_line import CommandLine


def test_what_is_paused_is_resumed_and_what_has_ended_is_purged(
    live: CommandLine, load: Callable[[str, int], list[str]]
) -> None:
    """Each verb acts on what is there to act on, and exits with 0."""
    load("rested", 5)
    assert live.json("pause", "-s", "rested", "--yes")["done"] == 5
    assert live.json("pause", "-s", "rested", "--yes")["skipped"] == 5
    assert live.json("kill", "-s", "rested", "--status", "paused", "--dry-run")["matched"] == 5
    assert live.json("resume", "-s", "rested", "--yes")["done"] == 5
    assert live.json("kill", "-s", "rested", "--yes")["done"] == 5
    purged = live.json("purge", "-s", "rested", "--status", "killed", "--yes")
    assert (purged["state"], purged["done"]) == ("COMPLETED", 5)
    assert live.json("purge", "-s", "rested", "--yes")["matched"] == 0


def test_a_batch_is_paused_resumed_made_faster_and_comes_to_its_end(
    live: CommandLine, load: Callable[[str, int], list[str]]
) -> None:
    """Each verb waits until its control shows; what comes when all is over is refused with exit code 1."""
    load("steered", 60)
    slow = ("kill", "-s", "steered", "--max-rate", "2", "--batch-id", "b-steered", "--no-wait", "--yes")
    assert live.run(*slow)[0] == 0
    assert live.json("batch", "pause", "b-steered")["state"] == "PAUSED"
    assert live.json("batch", "resume", "b-steered")["state"] == "RUNNING"
    assert live.json("batch", "rate", "b-steered", "5000")["max_rate"] == 5000
    watched = live.json("batch", "watch", "b-steered")
    assert (watched["state"], watched["done"]) == ("COMPLETED", 60)
    code, _, stderr = live.run("batch", "pause", "b-steered")
    assert code == 1
    assert "b-steered" in stderr
    assert "Traceback" not in stderr


def test_an_aborted_batch_stops_where_it_is(live: CommandLine, load: Callable[[str, int], list[str]]) -> None:
    """It ends ABORTED, and what it has not reached is left alone."""
    load("spared", 60)
    slow = ("kill", "-s", "spared", "--max-rate", "2", "--batch-id", "b-spared", "--no-wait", "--yes")
    assert live.run(*slow)[0] == 0
    aborted = live.json("batch", "abort", "b-spared")
    assert aborted["state"] == "ABORTED"
    left = live.json("kill", "-s", "spared", "--dry-run")["matched"]
    assert left == 60 - aborted["done"] > 0


def test_a_limit_ends_so_many_and_no_more(live: CommandLine, load: Callable[[str, int], list[str]]) -> None:
    """The rest still matches afterwards."""
    load("limited", 20)
    killed = live.json("kill", "-s", "limited", "--limit", "7", "--yes")
    assert (killed["state"], killed["done"], killed["limit"]) == ("COMPLETED", 7, 7)
    assert live.json("kill", "-s", "limited", "--dry-run")["matched"] == 13


def test_a_control_of_a_batch_that_nobody_knows_returns_1(live: CommandLine) -> None:
    """The batch is named."""
    code, _, stderr = live.run("batch", "abort", "no-such-batch")
    assert code == 1
    assert "no-such-batch" in stderr
    assert "Traceback" not in stderr
