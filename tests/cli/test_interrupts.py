"""Ctrl-C at the worst moment."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from streams.cli.children import QuietChildren

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PROGRAM = """
import gc, signal, time
from streams.cli import interrupts

class Freed:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def handler(number, frame):
    raise KeyboardInterrupt

{install}
try:
    Freed()
    time.sleep({seconds})
    print("went on")
except KeyboardInterrupt:
    print("stopped")
"""


def _outcome(install: str, seconds: float) -> str:
    program = _PROGRAM.format(install=install, seconds=seconds)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_interrupt_while_an_object_is_freed_is_not_lost() -> None:
    """By Python's own handler and by one that a verb has set."""
    assert _outcome("interrupts.never_dropped()", 30) == "stopped"
    assert _outcome("interrupts.never_dropped(); signal.signal(signal.SIGINT, handler)", 30) == "stopped"


def test_python_alone_loses_it() -> None:
    """Else there would be no need for the module."""
    assert _outcome("", 0.2) == "went on"


_FREES_A_CLIENT = """
import _thread, operator, weakref
import confluent_kafka, confluent_kafka.admin
from streams.kafka.clients import KafkaClients

class Last:
    pass

class Ref(weakref.ref):
    interrupt = staticmethod(_thread.interrupt_main)

def free(client):
    last = Last()
    # Ctrl-C as the list goes from its end: after the last line of Python, before the client is freed.
    ref = Ref(last, operator.methodcaller("interrupt"))
    group = [client, last]
    del client, last, group
    return getattr(ref, "unknown", "went on")

try:
    print(free({client}({{"bootstrap.servers": "127.0.0.1:1", "group.id": "g"}})))
except KeyboardInterrupt:
    print("stopped")
"""


def _outcome_with(client: str) -> str:
    program = _FREES_A_CLIENT.format(client=client)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("kind", ["consumer", "producer", "admin"])
def test_an_interrupt_while_a_kafka_client_is_freed_is_not_lost(kind: str) -> None:
    """It comes with the next line."""
    assert _outcome_with(f"KafkaClients().{kind}") == "stopped"


@pytest.mark.parametrize("kind", ["Consumer", "Producer", "admin.AdminClient"])
def test_a_client_of_the_library_loses_it(kind: str) -> None:
    """Else there would be no need to free ours elsewhere."""
    assert _outcome_with(f"confluent_kafka.{kind}") == "went on"


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """SIGINT is a KeyboardInterrupt, whatever an earlier test has left."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
@pytest.mark.parametrize("number", [1, 2], ids=["the program itself", "its watcher"])
def test_an_interrupt_while_a_program_starts_leaves_none_behind(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes once the program is known, and has a watcher."""
    begun: list[subprocess.Popen[bytes]] = []

    class Begun(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            begun.append(self)
            if len(begun) == number:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Begun)
    with pytest.raises(KeyboardInterrupt), QuietChildren(tmp_path, {}) as children:
        children.start("server", "0", "--bind", "127.0.0.1", module="http.server")
    assert [each.returncode is not None for each in begun] == [True, True]
