"""`invoke`, `send`, `tail` and `dead-letters` on a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from streams.client import new_invocation_id
from streams.config import Topic

if TYPE_CHECKING:
    from pathlib import Path

    from support.service.command_line import CommandLine

LINES = max(1_000, int(100_000 * float(os.environ.get("STREAMS_TEST_SCALE", "0.2"))))
BAD = (
    ("not json", "not JSON"),
    ('{"type": "Nope"}', "'Nope' is not a command"),
    ('{"type": "Tick"}', "for workers to write"),
    ("[]", "not a JSON object"),
    ('{"type": "Invoke"}', "Invoke: invocation is missing"),
    (
        '{"type": "Invoke", "invocation": {"invocation_id": "", "service": "s", "handler": "h"}}',
        "invocation_id is empty",
    ),
    ('{"type": "Invoke", "invocation": {"invocation_id": "i", "service": 1, "handler": "h"}}', "service is a number"),
    ('{"type": "Act", "invocation_id": "i", "action": "KILL", "grace": 1}', "grace is not a field of Act"),
    ('{"type": "Act", "invocation_id": "i", "action": "KILL", "grace_ms": -1}', "grace_ms is -1"),
    ('{"type": "StartBatch", "batch_id": "b", "action": "KILL", "filter": {}}', "match_all is not set"),
)


def _line(service: str, invocation_id: str | None = None) -> str:
    invocation = {"invocation_id": invocation_id or new_invocation_id(), "service": service, "handler": "run"}
    return json.dumps({"type": "Invoke", "invocation": invocation})


def _put(live: CommandLine, topic: Topic, value: bytes, **more: Any) -> None:
    """A record as no client of ours would write it."""
    producer = Producer({"bootstrap.servers": live.settings.bootstrap_servers})
    producer.produce(live.settings.topic(topic), value, **more)
    assert producer.flush(10) == 0


def _letters(live: CommandLine, key: str, count: int) -> list[dict[str, Any]]:
    """The dead letters with this key, once there are that many."""
    deadline = time.monotonic() + 30
    while True:
        found = [each for each in live.json("dead-letters", "list")["dead_letters"] if each["key"] == key]
        if len(found) >= count or time.monotonic() > deadline:
            assert len(found) == count
            return found


def test_an_invocation_is_started_and_printed_by_its_id(live: CommandLine) -> None:
    """Labels, payload and deployment arrive; the log and the table show it."""
    words = ("invoke", "printed", "run", "hello", "--label", "tenant=acme", "--deployment", "d-1")
    code, stdout, stderr = live.run(*words)
    assert (code, stderr) == (0, "")
    [logged] = [each for each in live.lines("tail", "commands", "--from-beginning") if each["key"] == stdout.strip()]
    assert logged["record"] == {
        "type": "Invoke",
        "invocation": {
            "invocation_id": stdout.strip(),
            "service": "printed",
            "handler": "run",
            "deployment_id": "d-1",
            "labels": {"tenant": "acme"},
        },
        "adopt": False,
        "payload": "aGVsbG8=",
    }
    assert live.json("kill", "-s", "printed", "--deployment", "d-1", "--label", "tenant=acme", "--dry-run")["done"] == 1


def test_an_invocation_may_be_scheduled_adopted_and_named(live: CommandLine, tmp_path: Path) -> None:
    """The same again under the same id is the same one; the payload comes from a file or stdin."""
    named = f"named-{uuid4().hex}"
    assert (
        live.json("invoke", "later", "run", "-", "--id", named, "--at", "2030-01-01", stdin="p")["invocation_id"]
        == named
    )
    file = tmp_path / "payload"
    file.write_bytes(b"p")
    again = ("invoke", "later", "run", "--payload-file", str(file), "--id", named, "--at", "2030-01-01")
    assert live.json(*again)["command"]["offset"] > 0
    live.json("invoke", "later", "run", "--adopt")
    for status, count in (("SCHEDULED", 1), ("RUNNING", 1), ("READY", 0)):
        assert live.json("kill", "-s", "later", "--status", status, "--dry-run")["matched"] == count


def test_invocations_of_one_object_wait_for_one_another(live: CommandLine) -> None:
    """Their ids share what stands before the last `~`; the first is started, the second waits."""
    service = f"accounts-{uuid4().hex[:8]}"  # other tests on this service have accounts, too
    words = ("invoke", service, "book", "--object-key", "ada")
    first, second = (live.json(*words)["invocation_id"] for _ in range(2))
    assert first.rpartition("~")[0] == second.rpartition("~")[0] == f"{service}/ada"
    for status in ("READY", "PENDING"):
        assert live.json("kill", "-s", service, "--status", status, "--dry-run")["matched"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("", "run"), "service is empty"),
        (("s", "run", "--object-key", "k", "--id", "not-of-it"), "s/k~"),
        (("s", "run", "--adopt", "--at", "2h"), "scheduled_at"),
        (("s", "run", "--at", "soon"), "how long from now"),
        (("s", "run", "p", "--payload-file", __file__), "both given"),
        (("s", "run", "--label", "x"), "KEY=VALUE"),
        (("s",), "Missing argument"),
    ],
)
def test_an_invocation_that_breaks_a_rule_is_not_sent(live: CommandLine, words: tuple[str, ...], said: str) -> None:
    """Exit code 2, and what is wrong."""
    code, stdout, stderr = live.run("invoke", *words, COLUMNS="200")
    assert (code, stdout) == (2, "")
    assert said in stderr


def test_of_many_lines_the_good_are_sent_and_the_bad_listed_by_line_and_reason(
    live: CommandLine, tmp_path: Path
) -> None:
    """Exit code 1 for a single bad one; nothing good is held back."""
    service = f"bulk-{uuid4().hex[:8]}"
    step = LINES // len(BAD)
    lines = [BAD[n // step][0] if n % step == step // 2 else _line(service) for n in range(LINES)]
    file = tmp_path / "lines"
    file.write_text("\n".join(lines))
    code, stdout, stderr = live.run("send", str(file))
    assert (code, stdout) == (1, f"{LINES - len(BAD):,} sent, {len(BAD)} bad\n")
    told = stderr.splitlines()
    assert len(told) == len(BAD)
    for index, (_, reason) in enumerate(BAD):
        assert told[index].startswith(f"line {index * step + step // 2 + 1}: ")
        assert reason in told[index]
    assert live.json("kill", "-s", service, "--yes")["done"] == LINES - len(BAD)


def test_lines_may_come_from_stdin_and_blank_ones_do_not_count(live: CommandLine) -> None:
    """What `tail` prints of commands is what `send` takes."""
    service = f"piped-{uuid4().hex[:8]}"
    sent = live.json("send", stdin=f"{_line(service)}\n\n  \n{_line(service)}\n")
    assert sent == {"sent": 2, "bad": [], "interrupted_after": None}
    logged = live.lines("tail", "commands", "--from-beginning")
    again = [json.dumps(each["record"]) for each in logged if service in json.dumps(each)]
    assert len(again) == 2
    assert live.json("send", "-", stdin="\n".join(again))["sent"] == 2
    assert live.json("kill", "-s", service, "--yes")["matched"] == 2


def test_a_file_that_cannot_be_read_is_a_usage_error(live: CommandLine) -> None:
    """Exit code 2."""
    code, _, stderr = live.run("send", "no-such-file", COLUMNS="200")
    assert code == 2
    assert "no-such-file cannot be read" in stderr


@pytest.mark.parametrize("topic", list(Topic))
def test_every_topic_can_be_read(live: CommandLine, topic: Topic) -> None:
    """Decoded, those of one partition in their order."""
    live.json("invoke", "read", "run")
    live.json("kill", "-s", "read", "--yes")
    lines = live.lines("tail", str(topic), "--from-beginning")
    kinds = {each["record"]["type"] for each in lines if each.get("record")}
    expected = {
        Topic.COMMANDS: {"Invoke", "StartBatch", "StartSlice", "ContinueSlice", "SliceReport"},
        Topic.CHANGELOG: {"InvocationRow", "Batch", "Slice", "PageDelta", "Meta"},
        Topic.SIGNALS: {"Signal"},
        Topic.BATCH_SLICES: {"BatchHeader", "SliceProgress"},
        Topic.BATCHES: {"BatchProgress"},
    }
    assert expected.get(topic, set()) <= kinds
    for partition in {each["partition"] for each in lines}:
        offsets = [each["offset"] for each in lines if each["partition"] == partition]
        assert offsets == sorted(offsets)


def test_the_end_of_one_partition_can_be_asked_for(live: CommandLine) -> None:
    """A partition that does not exist is one clear line."""
    live.json("invoke", "ends", "run")
    found = live.lines("tail", "commands", "--partition", "1", "--last", "3")
    assert {each["partition"] for each in found} <= {1}
    assert len(found) <= 3
    code, _, stderr = live.run("tail", "commands", "--partition", "9")
    assert code == 1
    assert "has no partition 9: it has 0 to 1" in stderr


def test_following_goes_on_until_ctrl_c(live: CommandLine) -> None:
    """What comes is printed as it comes; exit code 130."""
    live.json("invoke", "followed", "run")
    process = live.start("tail", "commands", "--follow", "--from-beginning")
    assert process.stdout is not None
    assert process.stdout.readline()  # it reads by now
    invoked = live.json("invoke", "followed", "run")["invocation_id"]
    while invoked not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (130, "")


def test_a_dead_letter_is_listed_shown_and_sent_again(live: CommandLine) -> None:
    """The original goes back byte for byte, to the partition it came from, where it is as bad as before."""
    key = uuid4().hex
    _put(live, Topic.COMMANDS, b"garbage " + key.encode(), key=key, partition=1)
    [letter] = _letters(live, key, 1)
    assert (letter["code"], letter["source_partition"]) == ("not_avro", 1)
    shown = live.json("dead-letters", "show", letter["place"])
    assert shown["undecodable"]["code"] == "not_avro"
    assert "not_sent_again" not in shown
    code, stdout, _ = live.run("dead-letters", "replay", letter["place"], "--yes")
    assert (code, stdout) == (0, "1 sent again, 0 refused\n")
    both = _letters(live, key, 2)
    assert [each["source_partition"] for each in both] == [1, 1]
    assert both[1]["source_offset"] > both[0]["source_offset"]
    code, stdout, _ = live.run("dead-letters", "list")
    assert code == 0
    assert stdout.count(key) == 2
    code, stdout, _ = live.run("dead-letters", "show", letter["place"])
    assert code == 0
    assert "not_avro" in stdout


def test_dead_letters_are_chosen_by_code_and_a_cut_one_is_refused(live: CommandLine) -> None:
    """The others are sent all the same; exit code 1 says that not all were."""
    code_ = f"test_{uuid4().hex[:8]}"
    headers = {"error-code": code_, "error-message": "m", "source-partition": "0"}
    known = f"known-{uuid4().hex}"
    line = _line("known", known)
    live.json("send", stdin=line)
    [logged] = [each for each in live.lines("tail", "commands", "--from-beginning") if each["key"] == known]
    assert logged["record"]["invocation"]["service"] == "known"
    _put(live, Topic.DEAD_LETTERS, b"half of", key="cut", headers={**headers, "value-truncated": "3000000"})
    _put(live, Topic.DEAD_LETTERS, b"whole", key=known, headers=headers)
    code, stdout, stderr = live.run("dead-letters", "replay", "--code", code_, "--yes", "--json")
    assert code == 1
    done = json.loads(stdout)
    assert (len(done["sent"]), len(done["refused"])) == (1, 1)
    assert "its value was cut, of 3,000,000 bytes" in stderr
    assert len(_letters(live, known, 2)) == 2  # the one put there by hand, and what became of its original


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("replay",), 2, "say which"),
        (("replay", "--all", "--code", "x"), 2, "one of the three"),
        (("replay", "0:1", "--all"), 2, "one of the three"),
        (("show", "nonsense"), 2, "PARTITION:OFFSET"),
        (("show", "0:999999"), 1, "there is no dead letter 0:999999"),
        (("replay", "0:999999", "--yes"), 1, "there is no dead letter 0:999999"),
    ],
)
def test_dead_letters_that_are_not_there_or_not_named_are_an_error(
    live: CommandLine, words: tuple[str, ...], code: int, said: str
) -> None:
    """Nothing is sent."""
    found, stdout, stderr = live.run("dead-letters", *words, COLUMNS="200")
    assert (found, stdout) == (code, "")
    assert said in stderr


def test_a_replay_without_a_terminal_wants_yes(live: CommandLine) -> None:
    """A script that did not say so sends nothing."""
    key = uuid4().hex
    _put(live, Topic.COMMANDS, b"garbage " + key.encode(), key=key, partition=0)
    [letter] = _letters(live, key, 1)
    code, _, stderr = live.run("dead-letters", "replay", letter["place"], COLUMNS="200")
    assert code == 2
    assert "--yes" in stderr


def test_the_shell_completes_verbs_topics_and_what_kafka_knows(live: CommandLine) -> None:
    """By what the shell runs when Tab is pressed."""
    live.run("invoke", "tab-service", "run", "--id", "tab-1")
    code, _, stderr = live.run("kill", "-s", "tab-service", "-y", "--batch-id", "tab-batch")
    assert code == 0, stderr
    assert live.run("flow", "cancel", "tab-flow", "-y")[0] == 0
    for typed, offered in (
        ("streams dead-", "dead-letters"),
        ("streams tail batch-", "batch-slices"),
        ("streams batch show tab-b", "tab-batch"),
        ("streams kill -s tab-s", "tab-service"),
        ("streams flow show tab-f", "tab-flow"),
        ("streams kill --flow tab-f", "tab-flow"),
    ):
        words = {"_STREAMS_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
        done = subprocess.run(
            [sys.executable, "-c", "import sys; sys.argv = ['streams']; from streams.cli import main; main()"],
            env={**live.environment, **words},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert offered in done.stdout.split()
