"""The demo: true to its own counts, and nothing left behind however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from streams.config import load_settings
from streams.kafka.admin import Admin
from support.service.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.broker import Broker

PROC = Path("/proc")


class Demo:
    """One run of the demo; what it starts is found again by a variable that is handed down."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self._mark = f"DEMO_MARK={uuid4().hex}"
        name, _, value = self._mark.partition("=")
        inherited = {each: text for each, text in os.environ.items() if not each.startswith("STREAMS_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streams", "demo", "--invocations", "2000"],
            cwd=folder,
            env={**inherited, "PYTHONPATH": str(ROOT), "BROKER": bootstrap, name: value},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def others(self) -> list[int]:
        """Processes that it has started and that still run."""
        found = []
        for folder in PROC.glob("[0-9]*"):
            try:
                variables = (folder / "environ").read_bytes()
            except OSError:
                continue  # it has just ended
            if self._mark.encode() in variables and int(folder.name) != self.process.pid:
                found.append(int(folder.name))
        return found

    def await_others(self, *, none: bool, seconds: float) -> bool:
        """Wait until some run, or none does; whether that came true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (not self.others()) is none:
                return True
            time.sleep(0.1)
        return False


@pytest.fixture
def demo(broker: Broker, tmp_path: Path) -> Iterator[Demo]:
    """A demo on the session's broker that has just been started."""
    if not PROC.exists():
        pytest.skip("processes are found by /proc")
    started = Demo(broker.bootstrap, tmp_path)
    try:
        yield started
    finally:
        for each in [started.process.pid, *started.others()]:
            if started.process.poll() is None or each != started.process.pid:
                os.kill(each, signal.SIGKILL)
        started.process.communicate()


def _topics(broker: Broker) -> set[str]:
    return set(Admin(load_settings(bootstrap_servers=broker.bootstrap)).partition_counts())


def test_the_demo_ends_by_itself_tells_the_truth_and_leaves_nothing(demo: Demo, broker: Broker) -> None:
    """Exit code 0, the counts that it computed itself, no process and no topic."""
    stdout, stderr = demo.process.communicate(timeout=180)
    assert demo.process.returncode == 0, stdout + stderr
    assert "1,001 of 1,001 matched" in stdout
    assert "2 handlers that ran were stopped" in stdout
    assert "orders were placed and started" in stdout
    assert "by 1 record in the log" in stdout
    assert demo.await_others(none=True, seconds=30)  # what was killed may take a moment to vanish
    [prefix] = re.findall(r"^topics +(demo-\w+\.)", stdout, flags=re.MULTILINE)
    assert not any(name.startswith(prefix) for name in _topics(broker))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_what_it_started(demo: Demo, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM alike: exit code 130, no process left."""
    assert demo.await_others(none=False, seconds=30)
    demo.process.send_signal(number)
    _, stderr = demo.process.communicate(timeout=60)
    assert demo.process.returncode == 130, stderr
    assert "nothing is left running" in stderr
    assert demo.await_others(none=True, seconds=30)  # what was killed may take a moment to vanish


def test_a_killed_demo_leaves_no_process_either(demo: Demo) -> None:
    """Its watchers end what it could not end itself."""
    assert demo.await_others(none=False, seconds=30)
    time.sleep(1.0)
    demo.process.kill()
    assert demo.await_others(none=True, seconds=30)
