"""`batch pause`, `resume`, `abort`, `rate`: what is sent, awaited, printed and returned, with a log that stands in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from streams.cli import batch_control, find_batch
from streams.cli.app import app
from streams.client import BatchTimeoutError
from streams.gateway.progress import BatchRecords, batch_progress
from streams.model import Action, BatchProgress, BatchState, ControlOperation, Filter, StartBatch
from support.tables.memory_cluster import MemoryCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

from streams.engine import header_of


def _running() -> BatchProgress:
    cluster = MemoryCluster()
    cluster.run(StartBatch("b-7", Action.KILL, Filter(match_all=True)))
    found = batch_progress(BatchRecords(header_of(cluster.batch("b-7"))))
    assert found is not None
    return replace(found, state=BatchState.RUNNING)


RUNNING = _running()


@dataclass
class Service:
    """Stands in for log and gateway: keeps what was sent, shows the batch as it is told."""

    sent: list[tuple[ControlOperation, dict[str, Any]]] = field(default_factory=list)
    before: BatchProgress | None = RUNNING
    after: list[BatchProgress] = field(default_factory=list)

    def run(self, *words: str) -> Result:
        """One command line about `b-7`."""
        return CliRunner().invoke(app, ["batch", *words])


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """The command line connected to a stand-in."""
    made = Service()

    class Client:
        def __init__(self, _settings: object) -> None: ...

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def control_batch(self, batch_id: str, operation: ControlOperation, **options: Any) -> None:
            assert batch_id == "b-7"
            made.sent.append((operation, options))

    class ProgressReader:
        def __init__(self, _settings: object) -> None: ...

        def latest(self) -> dict[str, BatchProgress]:
            return {} if made.before is None else {"b-7": made.before}

        def follow(self, _batch_id: str, _timeout: float) -> Iterator[BatchProgress]:
            yield from made.after
            raise BatchTimeoutError("not ended")

    monkeypatch.setattr(batch_control, "Client", Client)
    for module in (batch_control, find_batch):
        monkeypatch.setattr(module, "ProgressReader", ProgressReader)
    monkeypatch.setattr(find_batch, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(find_batch, "_PAUSE_S", 0.0)
    monkeypatch.setattr(batch_control, "settings_of_command", lambda: None)
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    monkeypatch.setattr("socket.gethostname", lambda: "desk")
    return made


@pytest.mark.parametrize(
    ("words", "operation", "max_rate", "shows"),
    [
        (["pause", "b-7"], ControlOperation.PAUSE, None, replace(RUNNING, state=BatchState.PAUSED)),
        (["resume", "b-7"], ControlOperation.RESUME, None, RUNNING),
        (["abort", "b-7"], ControlOperation.ABORT, None, replace(RUNNING, state=BatchState.ABORTED)),
        (["abort", "b-7"], ControlOperation.ABORT, None, replace(RUNNING, state=BatchState.DRAINING)),
        (["rate", "b-7", "2.5"], ControlOperation.SET_RATE, 2.5, replace(RUNNING, max_rate=2.5)),
        (["pause", "b-7"], ControlOperation.PAUSE, None, replace(RUNNING, state=BatchState.COMPLETED)),
    ],
)
def test_a_control_is_one_command_and_returns_once_it_shows(
    service: Service, words: list[str], operation: ControlOperation, max_rate: float | None, shows: BatchProgress
) -> None:
    """Or once the batch has no pages left, for which it came too late; the batch as it then stands is printed."""
    service.after = [replace(RUNNING, state=BatchState.PAUSED)] if operation is ControlOperation.RESUME else [RUNNING]
    service.after.append(shows)
    result = service.run(*words)
    assert result.exit_code == 0
    options = {"actor": "ada@desk"} | ({} if max_rate is None else {"max_rate": max_rate})
    assert service.sent == [(operation, options)]
    assert shows.state in result.stdout
    result = service.run(*words, "--json")
    assert json.loads(result.stdout)["state"] == shows.state


@pytest.mark.parametrize("state", [BatchState.DRAINING, BatchState.COMPLETED, BatchState.ABORTED, BatchState.REJECTED])
@pytest.mark.parametrize("words", [["pause"], ["resume"], ["abort"], ["rate"]])
def test_a_batch_without_pages_left_is_not_controlled(service: Service, words: list[str], state: BatchState) -> None:
    """Nothing is sent, and the exit code is 1."""
    service.before = replace(RUNNING, state=state)
    result = service.run(*words, "b-7", *(["5"] if words == ["rate"] else []))
    assert isinstance(result.exception, Exception)
    assert f"batch b-7 is {state}" in str(result.exception)
    assert not service.sent


def test_a_batch_that_stands_takes_no_rate(service: Service) -> None:
    """Nothing is sent; it may be paused and aborted like any other."""
    service.before = replace(RUNNING, standing_until=4_102_444_800_000)
    result = service.run("rate", "b-7", "5")
    assert "batch b-7 stands until 2100-01-01 00:00:00Z and takes no rate" in str(result.exception)
    assert not service.sent
    service.after = [replace(service.before, state=BatchState.PAUSED)]
    assert service.run("pause", "b-7").exit_code == 0


def test_a_batch_that_nobody_knows_is_not_controlled(service: Service) -> None:
    """The id may be mistyped."""
    service.before = None
    result = service.run("abort", "b-7")
    assert "batch b-7 is not known" in str(result.exception)
    assert not service.sent


def test_a_control_that_does_not_show_says_so(service: Service) -> None:
    """It is in the log all the same."""
    service.after = [RUNNING]
    result = service.run("pause", "b-7")
    assert "is in the log, and has not taken effect" in str(result.exception)
    assert len(service.sent) == 1


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_without_waiting_nothing_is_looked_up(service: Service, more: list[str]) -> None:
    """So that a batch can be stopped while no gateway runs."""
    service.before = None
    result = service.run("abort", "b-7", "--no-wait", *more)
    assert result.exit_code == 0
    assert service.sent == [(ControlOperation.ABORT, {"actor": "ada@desk"})]
    assert "b-7" in result.stdout


@pytest.mark.parametrize("rows", ["0", "nan", "inf", "fast"])
def test_a_rate_is_a_number_above_0(service: Service, rows: str) -> None:
    """Anything else is not understood, and not sent."""
    assert service.run("rate", "b-7", rows).exit_code == 2
    assert not service.sent
