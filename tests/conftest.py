"""The broker that tests share, and what the run says about it."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import structlog

from streams import broker as brokers
from support.effort import examples

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

BROKER_FIXTURES = {"broker", "own_broker"}
# A deadline measures the machine, and what else runs on it.
hypothesis.settings.register_profile("streams", deadline=None, max_examples=examples(100))
hypothesis.settings.load_profile("streams")

TAKEN = pytest.StashKey[list[brokers.Broker]]()
TOLD = pytest.StashKey[list[str]]()
_LINES = "about the broker"
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in memory, on Linux
_ROOM = 4 * 1024**3


def pytest_configure(config: pytest.Config) -> None:
    """Nothing has been started yet; and Ctrl-C is heard.

    A shell's background job ignores it, and so would every program that the tests start.
    """
    _use_memory()
    config.stash[TAKEN] = []
    config.stash[TOLD] = []
    config.pluginmanager.register(Parts())
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """What uses a broker is marked so, nobody has to remember it; and each part of a run begins with long tests."""
    for item in items:
        if BROKER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("broker")
    yield
    # Only what was selected is shared out.
    items[:] = _dealt(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


@pytest.fixture(scope="session")
def broker(pytestconfig: pytest.Config) -> Iterator[brokers.Broker]:
    """The session's broker, started when first asked for. Never kill it: `own_broker` is for that."""
    with _start(pytestconfig) as started:
        yield started


@pytest.fixture
def own_broker(pytestconfig: pytest.Config) -> Iterator[brokers.Broker]:
    """A broker for this test alone, which it may kill and restart."""
    with _start(pytestconfig) as started:
        if started.kind == "external":
            pytest.skip("the broker given by BROKER is not ours to kill")
        yield started


@pytest.fixture(autouse=True)
def _durable_only(request: pytest.FixtureRequest) -> None:
    if any(request.node.get_closest_marker(marker) is None for marker in ("durable", "broker")):
        return
    name = "own_broker" if "own_broker" in request.fixturenames else "broker"
    started = request.getfixturevalue(name)
    if not started.durable:
        pytest.skip(f"{started.label}: {started.limits}")


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Logging is one for the whole process: what a test sets up there ends with it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    if structlog.is_configured():
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A part of a divided run tells the whole which broker it had."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_LINES] = _about(session.config.stash[TAKEN])


class Parts:
    """What the parts of a divided run have told."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A part has ended; one that crashed tells nothing."""
        lines = getattr(node, "workeroutput", {}).get(_LINES)
        if lines:
            node.config.stash[TOLD] = lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which broker the tests ran on, and what it could not run."""
    lines = config.stash[TOLD] or _about(config.stash[TAKEN])
    if lines:
        terminalreporter.section("broker")
        for line in lines:
            terminalreporter.write_line(line)


def _dealt(items: list[pytest.Item], parts: int) -> list[pytest.Item]:
    """The tests in an order whose shares, one a part, all begin with long ones: in the end only short ones are left.

    Shares are as `--dist worksteal` cuts them. Within a share the order is kept, so a module's tests stay together.
    """
    long = [item for item in items if _takes_long(item)]
    short = [item for item in items if not _takes_long(item)]
    dealt: list[pytest.Item] = []
    for left in range(parts, 0, -1):
        share, first = (len(long) + len(short)) // left, len(long) // left
        dealt += [*long[:first], *short[: share - first]]
        long, short = long[first:], short[share - first :]
    return dealt


def _takes_long(item: pytest.Item) -> bool:
    """It is marked so, or by more time than others may take."""
    return any(item.get_closest_marker(name) is not None for name in ("chaos", "timeout"))


def _use_memory() -> None:
    """Keep temporary files in memory where there is room: tests make tens of thousands, and none is to last."""
    if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def _about(taken: list[brokers.Broker]) -> list[str]:
    if not taken:
        return []
    first = taken[0]
    lines = [f"{first.label} at {first.bootstrap}"]
    if not first.durable:
        lines.append(f"Tests marked `durable` were skipped: {first.limits}.")
    return lines


def _start(config: pytest.Config) -> brokers.Broker:
    reporter = config.pluginmanager.get_plugin("terminalreporter")

    def say(line: str) -> None:
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(line)

    started = brokers.start(say=say)
    if os.environ.get("CI") == "true" and not started.durable:
        started.stop()
        pytest.exit("CI tests on a real broker, and none could be started here: see the lines above", returncode=1)
    if not config.stash[TAKEN]:
        say(f"broker: {started.label} at {started.bootstrap}")
    config.stash[TAKEN].append(started)
    return started
