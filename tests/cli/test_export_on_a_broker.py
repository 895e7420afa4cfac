"""A service moves to more partitions: exported, sent under another prefix, and gone on with there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from streams import codec
from streams.config import Topic
from streams.model import (
    Act,
    Action,
    BatchState,
    Filter,
    Invocation,
    Invoke,
    ReportTransition,
    Signal,
    SignalKind,
    StartBatch,
    Status,
)
from support.service import oracle
from support.service.harness import Service
from support.service.programs import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from streams.broker import Broker

EACH = 10
FAR = 10**14
HOUR = 3_600_000
KINDS = {
    "ready": "RUNNING",
    "runs": "RUNNING",
    "sleeps": "SUSPENDED",
    "retries": "BACKING_OFF",
    "waits": "SCHEDULED",
    "shelved": "PAUSED",
    "halted": "PAUSED",
    "asked": "CANCELLING",
}
"""What there is of each kind, and how it must stand after the move."""
PAYLOAD = b"\x00\xff\xfe not text"


def _names(kind: str) -> list[str]:
    return [f"{kind}-{number}" for number in range(EACH)]


def _invocation(name: str) -> Invocation:
    return Invocation(name, "mail", "send", labels={"tenant": "a\u2028\u00e4", "empty": ""})


def _fill(service: Service) -> None:
    """`EACH` of every kind, and some that have ended."""
    at = {"waits": FAR, "shelved": FAR}
    for kind in (*KINDS, "over"):
        payload = None if kind == "waits" else PAYLOAD
        service.send(*(Invoke(_invocation(name), at.get(kind), payload=payload) for name in _names(kind)))
    reported = {
        "runs": Status.RUNNING,
        "sleeps": Status.SUSPENDED,
        "retries": Status.BACKING_OFF,
        "halted": Status.RUNNING,
        "asked": Status.RUNNING,
        "over": Status.COMPLETED,
    }
    for kind, to in reported.items():
        service.send(*(ReportTransition(name, 1, to=to, retry_at=FAR) for name in _names(kind)))
    service.send(*(Act(name, Action.PAUSE) for name in (*_names("shelved"), *_names("halted"))))
    service.send(*(Act(name, Action.CANCEL, grace_ms=HOUR) for name in _names("asked")))
    service.settle()


def _rows(service: Service) -> dict[str, oracle.Folded]:
    table = oracle.fold(service.read(Topic.CHANGELOG))
    oracle.check_counts(table)
    return {row.invocation.invocation_id: row for row in table.rows.values()}


def _signals(service: Service) -> list[Signal]:
    entries = service.read(Topic.SIGNALS)
    oracle.check_signals(entries)
    found: list[Any] = [codec.decode(entry.value) for entry in entries]
    return found


def _kinds(signals: list[Signal]) -> Counter[tuple[str, SignalKind]]:
    return Counter((signal.invocation.invocation_id.partition("-")[0], signal.kind) for signal in signals)


def test_a_service_moves_to_more_partitions(broker: Broker, tmp_path: Path) -> None:
    """Two partitions become five: all stands there as it stood, nothing is started twice, and a kill ends all of it."""
    file = tmp_path / "table.jsonl"
    with (
        Service(broker.bootstrap, tmp_path, partitions=2) as old,
        Service(broker.bootstrap, tmp_path, partitions=5) as new,
    ):
        # Without an id of its own it is out of its group as soon as it has stopped.
        worker = old.program("old", ["worker"], STREAMS_STATE_DIR=str(old.state("old")))
        _fill(old)
        refused = old.command("export")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "has 1 member: stop the workers" in refused.stderr
        assert "--force" in refused.stderr
        assert worker.terminate() == 0
        exported = old.command("export", "--output", str(file))
        assert (exported.returncode, exported.stdout) == (0, "")
        assert f": {len(KINDS) * EACH} (SCHEDULED {EACH}, READY {EACH}, RUNNING {EACH}, " in exported.stderr
        assert f"ended, left behind: {EACH} (COMPLETED {EACH})" in exported.stderr
        assert [each.name for each in tmp_path.glob("table*")] == ["table.jsonl"]
        before = _rows(old)

        new.worker("new")
        sent = new.command("send", str(file))
        assert (sent.returncode, sent.stderr) == (0, "")
        assert ", 0 bad" in sent.stdout
        new.settle()
        after = _rows(new)
        assert {name: str(row.status) for name, row in after.items()} == {
            name: status for kind, status in KINDS.items() for name in _names(kind)
        }
        assert {name: row.invocation for name, row in after.items()} == {
            name: row.invocation for name, row in before.items() if not name.startswith("over")
        }
        assert all(before[name].status is after[name].status for name in after if not name.startswith("ready"))
        assert _kinds(_signals(new)) == {("halted", SignalKind.PAUSE): EACH, ("asked", SignalKind.CANCEL): EACH}

        new.send(*(Act(name, Action.RESUME) for name in _names("halted")))
        new.settle()
        starts = [signal for signal in _signals(new) if signal.kind is SignalKind.START]
        assert {(each.invocation.invocation_id, each.attempt, each.payload) for each in starts} == {
            (name, 2, PAYLOAD) for name in _names("halted")
        }
        new.start_batch(StartBatch("all", Action.KILL, Filter(match_all=True)))
        killed = new.await_batch("all")
        assert (killed.state, killed.total("done")) == (BatchState.COMPLETED, len(KINDS) * EACH)
        assert {row.status for row in _rows(new).values()} == {Status.KILLED}
        new.verify()
        _rest_of_the_verb(old, file)


def _rest_of_the_verb(old: Service, file: Path) -> None:
    """Commands that nobody applied are a reason to refuse; forced, stdout has the same lines as the file."""
    old.send(Act("runs-0", Action.KILL))
    refused = old.command("export")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "have not been applied" in refused.stderr
    forced = old.command("export", "--force")
    assert forced.returncode == 0
    assert "not at rest: " in forced.stderr
    assert _whats(forced.stdout) == _whats(file.read_text(encoding="utf-8"))
    anew = old.command("export", "--force", "--started", "restart")
    assert f"started again, with a START: {2 * EACH}\n" in anew.stderr
    lines = [json.loads(line) for line in anew.stdout.split("\n")[:-1]]
    assert sum(line["type"] == "Invoke" and not line.get("adopt") for line in lines) == 4 * EACH
    missing = old.command("export", "--force", "--output", "no/such/folder/file")
    assert missing.returncode == 1
    assert "no/such/folder/file cannot be written: No such file" in missing.stderr
    closed = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m streams export --force | head -c 1"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **old.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in closed.stderr
    assert "Exception ignored" not in closed.stderr


def _whats(lines: str) -> list[dict[str, Any]]:
    """Commands without the grace, of which less is left each time."""
    return [json.loads(line) | {"grace_ms": None} for line in lines.split("\n")[:-1]]
