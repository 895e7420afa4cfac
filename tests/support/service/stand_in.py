"""The command line without a broker: log and progress are stand-ins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from typer.testing import CliRunner

from streams.cli import kill
from streams.cli.app import app
from streams.cli.show import follow, nothing, preview
from streams.client import Delivery
from streams.model import Action, BatchProgress, BatchState, StartBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest
    from typer.testing import Result


def progress_of(start: StartBatch, state: BatchState, **changes: Any) -> BatchProgress:
    """A progress record of the batch, of 7 invocations that are done unless `changes` says otherwise."""
    fields: dict[str, Any] = {
        "batch_id": start.batch_id,
        "action": start.action,
        "filter": start.filter,
        "dry_run": start.dry_run,
        "limit": start.limit,
        "max_rate": start.max_rate,
        "grace_ms": 30_000 if start.action is Action.CANCEL and start.grace_ms is None else start.grace_ms,
        "on_timeout": start.on_timeout,
        "standing_until": start.standing_until,
        "expires_at": start.expires_at,
        "reason": start.reason,
        "actor": start.actor,
        "invocation_ids_count": None,
        "state": state,
        "error": None,
        "partitions_total": 4,
        "partitions_done": 4,
        "scan_total": 10,
        "scanned": 10,
        "matched": 7,
        "done": 7,
        "pending": 0,
        "skipped": 0,
        "failed": 0,
        "rate": 7.0,
        "eta_ms": None,
        "samples": (),
        "failures": (),
        "revision": 5,
        "created_at": 1_000,
        "updated_at": 2_000,
        "finished_at": 2_000,
    }
    return BatchProgress(**(fields | changes))


@dataclass
class Service:
    """Stands in for log and gateway: keeps what was sent, answers with the progress it is told to."""

    sent: list[StartBatch] = field(default_factory=list)
    earlier: list[BatchProgress] = field(default_factory=list)
    answer: Callable[[StartBatch], Iterator[BatchProgress]] = lambda start: iter(
        [progress_of(start, BatchState.RUNNING, done=3, pending=4), progress_of(start, BatchState.COMPLETED)]
    )

    def latest(self, _timeout: float) -> dict[str, BatchProgress]:
        """As a reader of progress has them."""
        return {each.batch_id: each for each in self.earlier}

    def run(self, *words: str, typed: str = "") -> Result:
        """One command line, and what is typed when it asks."""
        return CliRunner().invoke(app, list(words), input=typed)


def connected(monkeypatch: pytest.MonkeyPatch) -> Service:
    """The command line connected to a stand-in."""
    made = Service()

    class Client:
        def __init__(self, _settings: object) -> None: ...

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def send(self, command: StartBatch, on_delivery: Callable[[Delivery], None]) -> None:
            made.sent.append(command)
            on_delivery(Delivery(command.batch_id, 2, 41, None))

        def start_batch(self, command: StartBatch) -> None:
            made.sent.append(command)

    class ProgressReader:
        def __init__(self, _settings: object) -> None: ...

        def follow(self, _batch_id: str, _timeout: float | None, _on_quiet: object) -> Iterator[BatchProgress]:
            return made.answer(made.sent[-1])

    for module in (kill, preview):
        monkeypatch.setattr(module, "Client", Client)
    for module in (follow, preview):
        monkeypatch.setattr(module, "ProgressReader", ProgressReader)
    monkeypatch.setattr(nothing, "ProgressReader", lambda _: made)
    monkeypatch.setattr(kill, "settings_of_command", lambda: None)
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    monkeypatch.setattr("socket.gethostname", lambda: "desk")
    return made
