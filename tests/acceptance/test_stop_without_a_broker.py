"""Asked to stop when the broker has died: every program ends in bounded time, and says whether that was clean."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streams.model import Action, BatchState, Filter, Invocation, Invoke, StartBatch
from streams.stopping import STOP_S
from support.service.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.broker import Broker
    from support.service.harness import Service

pytestmark = [pytest.mark.broker, pytest.mark.durable, pytest.mark.timeout(300)]

EXECUTOR = Path(__file__).parents[1] / "support" / "service" / "executor_program.py"
STOPPED = {"w": "worker stopped", "gateway": "gateway stopped", "executor": "executor stopped"}


def test_every_program_ends_within_its_time(own_broker: Broker, service_on: Callable[..., Service]) -> None:
    """In the middle of a batch and of a backlog, all three are asked at once; after that all of it goes on."""
    service = service_on(own_broker.bootstrap)
    worker = service.worker("w", STREAMS_PAGE_BUDGET_MS="0.1")
    gateway = service.program("gateway", ["gateway"])
    executor = Program("executor", [], service.folder, service.environment)
    executor._args = [sys.executable, str(EXECUTOR), str(service.folder / "notes")]
    service.programs["executor"] = executor
    executor.start()
    gateway.await_event("gateway ready")
    service.send_many(
        Invoke(Invocation(f"i-{number}", "billing", "async"), payload=b"%.1f" % (number % 3))
        for number in range(20_000)
    )
    service.start_batch(StartBatch("kill-1", Action.KILL, Filter(match_all=True)))
    service.await_progress("kill-1", lambda progress: progress.state is BatchState.RUNNING, what="RUNNING")
    own_broker.kill()
    for program in (worker, gateway, executor):
        program.send(signal.SIGTERM)
    asked = time.monotonic()
    for name, program in (("w", worker), ("gateway", gateway), ("executor", executor)):
        code = program.wait(60)
        took = time.monotonic() - asked
        assert took < STOP_S + 3, f"{name} took {took:.0f} s"
        output = program.output()
        unclean = f"{name if name != 'w' else 'worker'} did not stop cleanly" in output
        assert unclean is not (STOPPED[name] in output), output[-2_000:]
        assert code == 1 or not unclean or name == "executor", code
    own_broker.restart()
    for program in (worker, gateway, executor):
        program.start()
    service.await_batch("kill-1")
    service.settle()
    service.verify()
