"""The command line on a real broker, as a person or a script uses it: processes, exit codes, output."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from streams.config import Topic
from support.service.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.service.command_line import CommandLine

BILLING, EMAILS = 30, 20


def test_topics_are_created_once_and_then_found_as_they_should_be(empty: CommandLine) -> None:
    """`create` may be repeated; `check` tells before and after."""
    code, _, stderr = empty.run("topics", "check")
    assert code == 1
    assert len(re.findall("does not exist at [^ ]+: run `streams topics create`", stderr)) == len(Topic)
    assert empty.run("topics", "create", "--partitions", "3")[1].count("created") == len(Topic)
    assert empty.run("topics", "create", "--partitions", "3")[1].count("existed") == len(Topic)
    assert empty.run("topics", "check") == (0, "the topics are as they must be\n", "")


def test_another_partition_count_is_refused_with_the_one_that_is(empty: CommandLine) -> None:
    """The count is fixed for the life of the topics."""
    empty.run("topics", "create", "--partitions", "2")
    code, _, stderr = empty.run("topics", "create", "--partitions", "4")
    assert code == 1
    assert "has 2 partitions, not 4" in stderr
    assert "--partitions 2" in stderr


@pytest.mark.parametrize("words", [("worker",), ("gateway",), ("batch", "list"), ("kill", "--all", "--yes")])
def test_missing_topics_are_one_clear_line_for_every_verb(empty: CommandLine, words: tuple[str, ...]) -> None:
    """Exit code 1, the way out, no traceback."""
    code, stdout, stderr = empty.run(*words)
    assert (code, stdout) == (1, "")
    assert "streams topics create" in stderr
    assert "Traceback" not in stderr


def test_a_wrong_broker_address_is_one_clear_line_for_every_verb(empty: CommandLine) -> None:
    """Exit code 1, the variable to set, no traceback, nothing of the Kafka client's own chatter."""
    verbs = [("worker",), ("gateway",), ("topics", "check"), ("batch", "list"), ("kill", "--all", "--yes")]
    for process in [empty.start(*words, STREAMS_BOOTSTRAP_SERVERS="127.0.0.1:1") for words in verbs]:
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stdout) == (1, "")
        [line] = stderr.splitlines()
        assert line.startswith("error: ")
        assert "127.0.0.1:1" in line
        assert "STREAMS_BOOTSTRAP_SERVERS" in line


def test_a_state_folder_in_use_stops_the_second_worker(live: CommandLine) -> None:
    """Two workers never share one."""
    code, _, stderr = live.run("worker")
    assert code == 1
    assert "is in use by another worker" in stderr.splitlines()[-1]


def test_a_state_folder_that_cannot_be_written_stops_the_worker(live: CommandLine) -> None:
    """The line names the folder and the variable."""
    code, _, stderr = live.run("worker", STREAMS_STATE_DIR="/proc/nowhere")
    assert code == 1
    assert "/proc/nowhere cannot be written" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr


def test_a_kill_ends_what_matches_and_says_how_many(live: CommandLine, load: Callable[[str, int], list[str]]) -> None:
    """A dry run counts the same and touches nothing."""
    load("billing", BILLING)
    load("emails", EMAILS)
    dry = live.json("kill", "-s", "billing", "--dry-run")
    assert (dry["state"], dry["matched"], dry["done"]) == ("COMPLETED", BILLING, BILLING)
    killed = live.json("kill", "-s", "billing", "--yes", "--reason", "test")
    assert (killed["state"], killed["done"], killed["skipped"], killed["failed"]) == ("COMPLETED", BILLING, 0, 0)
    assert killed["command"]["offset"] >= 0
    again = live.json("kill", "-s", "billing", "--yes")
    assert (again["state"], again["matched"]) == ("COMPLETED", 0)
    assert live.json("kill", "-s", "emails", "--dry-run")["matched"] == EMAILS


def test_a_file_of_ids_is_a_filter(live: CommandLine, load: Callable[[str, int], list[str]], tmp_path: Path) -> None:
    """One id a line; ids nobody knows match nothing."""
    ids = load("reports", 5)
    file = tmp_path / "ids"
    file.write_text("\n".join([*ids[:3], "nobody"]))
    killed = live.json("kill", "--ids-file", str(file), "--yes")
    assert (killed["matched"], killed["done"], killed["invocation_ids_count"]) == (3, 3, 4)


def test_a_cancel_without_an_executor_kills_when_the_grace_is_over(
    live: CommandLine, load: Callable[[str, int], list[str]]
) -> None:
    """Pending until then, done afterwards."""
    load("slow", 4)
    cancelled = live.json("cancel", "-s", "slow", "--grace", "1s", "--yes")
    assert (cancelled["state"], cancelled["done"], cancelled["pending"]) == ("COMPLETED", 4, 0)


def test_a_cancel_that_leaves_what_does_not_end_returns_1(
    live: CommandLine, load: Callable[[str, int], list[str]]
) -> None:
    """The counters are printed all the same."""
    load("stubborn", 4)
    words = ("cancel", "-s", "stubborn", "--grace", "1s", "--on-timeout", "leave", "--yes", "--json")
    code, stdout, stderr = live.run(*words)
    assert (code, json.loads(stdout)["failed"]) == (1, 4)
    assert "4 did not end within their grace" in stderr


def test_an_interrupted_wait_leaves_the_batch_running_and_it_can_be_watched_again(
    live: CommandLine, load: Callable[[str, int], list[str]]
) -> None:
    """Ctrl-C returns 130 and names the command to watch it by, which follows it to its end."""
    load("patient", 3)
    process = live.start("cancel", "-s", "patient", "--grace", "6s", "--batch-id", "b-patient", "--yes")
    assert process.stderr is not None
    assert ": partition " in process.stderr.readline()
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "streams batch watch b-patient" in stderr
    watched = live.json("batch", "watch", "b-patient")
    assert (watched["state"], watched["done"]) == ("COMPLETED", 3)


def test_a_wait_that_is_too_long_returns_1_and_the_batch_goes_on(
    live: CommandLine, load: Callable[[str, int], list[str]]
) -> None:
    """`--timeout` is about waiting only."""
    load("longer", 3)
    words = ("cancel", "-s", "longer", "--grace", "8s", "--batch-id", "b-longer", "--timeout", "2s", "--yes")
    code, _, stderr = live.run(*words)
    assert code == 1
    assert "streams batch show b-longer" in stderr
    assert live.json("batch", "watch", "b-longer")["done"] == 3


def test_the_same_id_and_content_again_is_the_same_batch(
    live: CommandLine, load: Callable[[str, int], list[str]]
) -> None:
    """A repeated command returns the first one's counters; other content under its id is an error."""
    load("twice", 3)
    words = ("kill", "-s", "twice", "--batch-id", "b-twice", "--yes")
    assert live.json(*words)["done"] == 3
    assert live.json(*words)["done"] == 3
    code, _, stderr = live.run("kill", "-s", "other", "--batch-id", "b-twice", "--yes")
    assert code == 1
    assert "taken by an earlier batch" in stderr


def test_batches_are_listed_with_their_counters(live: CommandLine, load: Callable[[str, int], list[str]]) -> None:
    """Newest first; as a table or as one JSON object."""
    load("listed", 2)
    live.json("kill", "-s", "listed", "--batch-id", "b-listed", "--yes")
    newest = live.json("batch", "list")["batches"][0]
    assert (newest["batch_id"], newest["done"]) == ("b-listed", 2)
    code, stdout, _ = live.run("batch", "list")
    assert code == 0
    assert "b-listed" in stdout


def test_an_unknown_batch_is_said_to_be_unknown(live: CommandLine) -> None:
    """Exit code 1 and where to look."""
    code, _, stderr = live.run("batch", "show", "nobody")
    assert code == 1
    assert "streams batch list" in stderr


def test_log_and_changelog_tell_one_story(live: CommandLine, load: Callable[[str, int], list[str]]) -> None:
    """`verify` holds beside a live worker."""
    load("verified", 10)
    live.json("kill", "-s", "verified", "--yes")
    code, stdout, stderr = live.run("verify")
    assert code == 0, stdout + stderr
    assert stdout.count("holds") == 2


def test_the_example_in_the_readme_works(live: CommandLine, load: Callable[[str, int], list[str]]) -> None:
    """What a newcomer copies runs as it stands, has something to show, and touches nothing but its own."""
    [kept] = load("emails", 1)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = readme.partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=live.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **live.variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "COMPLETED 10 of 10"
    assert live.json("kill", "--id", kept, "--yes")["matched"] == 1
