"""How a worker's process stops when it is asked to."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import os, signal, sys, time
from streams import stopping
from streams.worker import process

class Worker:
    stopping = False

    def stop(self):
        self.stopping = True

    def run(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep({seconds})

stopping.STOP_S = {limit}
process._run_until_signal(Worker())
sys.exit(0)
"""


@pytest.mark.parametrize(
    ("seconds", "limit", "code", "said"),
    [(0, 30, 0, "stopping after this turn"), (60, 0.2, 1, "did not stop cleanly")],
    ids=["in time", "hung in a call to Kafka"],
)
def test_a_stop_that_was_asked_for_ends_in_bounded_time_and_says_whether_it_was_clean(
    seconds: float, limit: float, code: int, said: str
) -> None:
    """SIGTERM ends the process by itself when Kafka answers no more, with exit code 1 and a line that says so."""
    program = _PROGRAM.format(seconds=seconds, limit=limit)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == code, ended.stderr
    assert said in ended.stdout + ended.stderr
    assert ("did not stop cleanly" in ended.stdout + ended.stderr) is (code == 1)
