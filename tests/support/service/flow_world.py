"""Flows on a world's workers: members, cancels, and what anybody can read of them."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from streams import codec
from streams.config import Topic
from streams.model import CancelFlow, CancelPolicy, FlowAction, FlowProgress, Invocation, Invoke
from streams.worker.flow_outlet import EVERY_MS
from streams.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.service.worker_world import World

FAR = 10**14


def members(count: int, flow_id: str = "f", prefix: str = "i") -> list[Invoke]:
    """Members of a flow, every second of them started at once."""
    made = [Invocation(f"{prefix}-{n}", "orders", "run", flow_id=flow_id) for n in range(count)]
    return [Invoke(each, FAR if n % 2 else None) for n, each in enumerate(made)]


def kill(flow_id: str = "f") -> CancelFlow:
    """A cancel that waits for nobody."""
    return CancelFlow(flow_id, FlowAction.KILL, CancelPolicy.CANCEL_ALL, reason="because")


def settle(world: World) -> None:
    """All that is to do is done, and what was held back is published."""
    world.run_until_idle()
    world.pass_time(EVERY_MS)
    world.run_until_idle()


def published(world: World) -> list[FlowProgress]:
    """Every committed record of `flows`, in which the numbers always add up."""
    found: list[FlowProgress] = world.published(Topic.FLOWS)
    for each in found:
        assert each.members == each.live + each.pending + each.ended + each.kept + each.failed
    return found


def newest(world: World) -> dict[str, FlowProgress]:
    """The state of each flow that compaction keeps."""
    published(world)
    name = world.settings.topic(Topic.FLOWS)
    kept = {(record.key or b"").decode(): record.value for record in world.cluster.records(name)}
    found = {key: codec.decode(value) for key, value in kept.items() if value is not None}
    return {key: each for key, each in found.items() if isinstance(each, FlowProgress)}


def numbers(progress: FlowProgress) -> tuple[str, int, int, int, int, int]:
    """State, and live, pending, ended, kept and failed members."""
    return (
        str(progress.state),
        progress.live,
        progress.pending,
        progress.ended,
        progress.kept,
        progress.failed,
    )


def commands(world: World, kind: type) -> list[Any]:
    """The committed commands of one kind."""
    return [record for record in world.published(Topic.COMMANDS) if isinstance(record, kind)]


@contextmanager
def second_worker(world: World, tmp_path: Path) -> Iterator[Worker]:
    """Another worker, which has taken one of the two partitions over."""
    settings = world.settings.model_copy(update={"state_dir": tmp_path / "other", "worker_id": "other"})
    with closing(Worker(settings, world.cluster, lambda: world.cluster.now)) as second:
        for _ in range(30):
            world._alive().step()
            second.step()
        assert len(world._alive().tasks) == len(second.tasks) == 1
        yield second


def served(world: World, *workers: Worker, until: Callable[[], bool] = lambda: False, rounds: int = 300) -> None:
    """So many rounds of these workers, or until it is so."""
    for _ in range(rounds):
        if until():
            return
        for worker in workers:
            worker.step()
        world.cluster.now += 1
