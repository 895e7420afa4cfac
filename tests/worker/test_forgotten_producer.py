"""A transactional id that Kafka has forgotten, for it was idle for days, is no other worker of that id."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from streams.model import Invocation, Invoke
from support.kafka.fake_faults import failure
from support.service.worker_world import World

if TYPE_CHECKING:
    from pathlib import Path


def test_a_forgotten_id_costs_one_producer_each_time(tmp_path: Path) -> None:
    """Twice within a minute: no abort after abort, and no word of a shared id."""
    with closing(World(tmp_path)) as world:
        forgotten = failure(KafkaError.INVALID_PRODUCER_ID_MAPPING, abortable=True)
        for number in range(3):
            world.cluster.faults.clear()
            world.cluster.faults.fail("send_offsets", forgotten)
            world.invoke(Invoke(Invocation(f"i-{number}", "orders", "run")))
            world.run_until_idle()
            assert world.cluster.faults.steps.count("init") == (2 if number == 0 else 1)
            assert "abort:before" not in world.cluster.faults.steps
        assert len(world.signals()) == 3
        assert world.deaths == 0
