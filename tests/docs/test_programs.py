"""Every Python block of the documentation is run, and every command line that only looks."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from streams.config import Topic
from streams.model import Act, Action, Cause, Invocation, Invoke, Status
from support import pages
from support.service import oracle
from support.service.harness import Service
from support.service.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.broker import Broker
    from support.pages import Block

BLOCKS = pages.blocks("python")
RUNS_ON = re.compile(r"^executor\.run\(\)", re.MULTILINE)
HANDLES = re.compile(r"@executor\.(handler|on_stop)\(\"(\w+)\", \"(\w+)\"\)")
LOOKS = re.compile(
    r"(topics (create|check)|batch list|flow list|dead-letters list|tail|verify|schemas (show|list))\b|.*--dry-run"
)
PATIENCE_S = 90.0

COMMANDS = sorted(
    {
        line.words[1:]
        for line in pages.command_lines()
        if line.words[0] == "streams" and LOOKS.match(" ".join(line.words[1:])) and "--follow" not in line.words
    }
)


@pytest.fixture(scope="module")
def service(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Topics of their own, a worker and a gateway, as the pages ask for."""
    with Service(broker.bootstrap, tmp_path_factory.mktemp("service")) as running:
        worker = running.worker("a")
        running.program("gateway", ["gateway"])
        running.await_partitions(worker)
        yield running


def _start(block: Block, service: Service, folder: Path) -> subprocess.Popen[bytes]:
    """What it prints goes to files: a pipe that nobody reads would stop it when it is full."""
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-c", block.text],
            # Unbuffered: threads that print at once garble Python 3.11's buffer.
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **service.environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )


def _end(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait for its end, which must be a good one; what it printed."""
    try:
        process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    complaints = (folder / "stderr").read_text(encoding="utf-8")
    assert process.returncode == 0, complaints
    assert "Traceback" not in complaints
    return (folder / "stdout").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "block", [each for each in BLOCKS if not RUNS_ON.search(each.text)], ids=lambda each: each.name
)
def test_a_program_of_the_documentation_ends_well(block: Block, service: Service, tmp_path: Path) -> None:
    """Copied and run as it stands, it does what it says and ends with exit code 0."""
    printed = _end(_start(block, service, tmp_path), tmp_path)
    if "follow(" in block.text:
        assert ("CANCELLED" if "FlowReader" in block.text else "COMPLETED") in printed.splitlines()[-1]


@pytest.mark.parametrize("block", [each for each in BLOCKS if RUNS_ON.search(each.text)], ids=lambda each: each.name)
def test_an_executor_of_the_documentation_does_its_work(block: Block, service: Service, tmp_path: Path) -> None:
    """Started as it stands, it ends what its handlers are for; SIGTERM ends it with exit code 0."""
    wanted: dict[str, Status] = {}
    for kind, of, handler in HANDLES.findall(block.text):
        invocation_id = f"docs-{uuid4()}"
        adopted = kind == "on_stop"
        service.send(Invoke(Invocation(invocation_id, of, handler), adopt=adopted))
        if adopted:
            service.send(Act(invocation_id, Action.CANCEL, grace_ms=600_000, cause=Cause(reason="the documentation")))
        wanted[invocation_id] = Status.CANCELLED if adopted else Status.COMPLETED
    assert wanted
    process = _start(block, service, tmp_path)
    try:
        _await(service, process, wanted)
        process.terminate()
        _end(process, tmp_path)
    finally:
        process.kill()
        process.wait()


def _await(service: Service, process: subprocess.Popen[bytes], wanted: dict[str, Status]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        rows = oracle.fold(service.read(Topic.CHANGELOG)).rows.values()
        found = {row.invocation.invocation_id: row for row in rows}
        if all(each in found and found[each].status == status for each, status in wanted.items()):
            return
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < deadline, [found.get(each) for each in wanted]
        time.sleep(0.3)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_that_only_looks_succeeds(words: tuple[str, ...], service: Service) -> None:
    """Run as it stands, beside a worker and a gateway: exit code 0."""
    if words[:2] == ("topics", "create"):
        words = ("topics", "create", "--partitions", str(service.partitions))  # the topics are there already
    done = service.command(*words)
    assert done.returncode == 0, done.stderr


def test_there_are_programs_and_commands_to_run() -> None:
    """Nobody has renamed the blocks' languages."""
    assert len(BLOCKS) >= 9
    assert len([each for each in BLOCKS if RUNS_ON.search(each.text)]) >= 3
    assert len(COMMANDS) >= 8
