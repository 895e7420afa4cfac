"""The demo: true to its own counts, and nothing left behind however it ends."""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from streams.config import load_settings
from streams.kafka.admin import Admin
from support.service.scrape import get
from support.service.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.broker import Broker


@pytest.fixture
def demo(broker: Broker, tmp_path: Path) -> Iterator[Tree]:
    """A demo on the session's broker that has just been started."""
    started = Tree(["demo", "--invocations", "2000"], tmp_path, BROKER=broker.bootstrap)
    try:
        yield started
    finally:
        started.end()


def _topics(broker: Broker) -> set[str]:
    return set(Admin(load_settings(bootstrap_servers=broker.bootstrap)).partition_counts())


def test_the_demo_ends_by_itself_tells_the_truth_and_leaves_nothing(demo: Tree, broker: Broker) -> None:
    """Exit code 0, the counts that it computed itself, no process and no topic."""
    stdout, stderr = demo.process.communicate(timeout=180)
    assert demo.process.returncode == 0, stdout + stderr
    assert "1,001 of 1,001 matched" in stdout
    assert "2 handlers that ran were stopped" in stdout
    assert "orders were placed and started" in stdout
    assert "by 1 record in the log" in stdout
    assert "make demo KEEP=1" in stdout
    assert demo.await_others(none=True, seconds=30)  # what was killed may take a moment to vanish
    [prefix] = re.findall(r"^topics +(demo-\w+\.)", stdout, flags=re.MULTILINE)
    assert not any(name.startswith(prefix) for name in _topics(broker))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_what_it_started(demo: Tree, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM alike: exit code 130, no process left."""
    assert demo.await_others(none=False, seconds=30)
    demo.process.send_signal(number)
    _, stderr = demo.process.communicate(timeout=60)
    assert demo.process.returncode == 130, stderr
    assert "nothing is left running" in stderr
    assert demo.await_others(none=True, seconds=30)  # what was killed may take a moment to vanish


def test_a_killed_demo_leaves_no_process_either(demo: Tree) -> None:
    """Its watchers end what it could not end itself."""
    assert demo.await_others(none=False, seconds=30)
    time.sleep(1.0)
    demo.process.kill()
    assert demo.await_others(none=True, seconds=30)


def test_a_demo_that_is_kept_names_its_page(broker: Broker, tmp_path: Path) -> None:
    """It answers until Ctrl-C, and the other commands are told where everything is."""
    demo = Tree(["demo", "--invocations", "2000", "--keep"], tmp_path, BROKER=broker.bootstrap)
    try:
        page = demo.await_line("all of it keeps running; its page: ").rpartition(" ")[2]
        assert get(f"{page}health/ready")[0] == 200
        assert demo.await_line("  export STREAMS_GATEWAY_URL=") == f"  export STREAMS_GATEWAY_URL={page.rstrip('/')}"
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(60) == 130
        assert demo.await_others(none=True, seconds=30)
    finally:
        demo.end()
