"""The start of a worker: facts about its topics, and the first line of its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from streams.config import Topic
from streams.errors import StreamsError
from streams.kafka.admin import Admin
from streams.kafka.clients import TIMEOUT_S
from streams.kafka.topic_ids import topic_id
from streams.kafka.topics import require
from streams.worker.topics import Topics

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.kafka.clients import Clients

log = structlog.get_logger("streams.worker")

_DAY_MS = 86_400_000


def learn_topics(clients: Clients, settings: Settings) -> Topics:
    """Ask the broker for partition counts, topic ids and the tombstone retention of the changelog.

    Raises:
        StreamsError: a topic is missing, partition counts differ, or the broker does not answer.
    """
    admin = Admin(settings, clients)
    found = require(admin.client, settings, admin.trouble, *Topic)
    counts = {topic: len(found[settings.topic(topic)].partitions) for topic in Topic}
    commands, changelog = settings.topic(Topic.COMMANDS), settings.topic(Topic.CHANGELOG)
    for other in (Topic.CHANGELOG, Topic.SIGNALS):
        if counts[other] != counts[Topic.COMMANDS]:
            raise StreamsError(
                f"topic {settings.topic(other)} has {counts[other]} partitions, {commands} has "
                f"{counts[Topic.COMMANDS]}: partition p of one belongs to partition p of the other, and the count is "
                "fixed for the life of the topics",
            )
    retention = admin.configs([changelog])[0].get("delete.retention.ms")
    return Topics(
        commands=commands,
        changelog=changelog,
        partitions=counts[Topic.COMMANDS],
        commands_id=_known(topic_id(admin.client, commands, TIMEOUT_S)),
        changelog_id=_known(topic_id(admin.client, changelog, TIMEOUT_S)),
        delete_retention_ms=int(retention) if retention else _DAY_MS,
        slice_partitions=counts[Topic.BATCH_SLICES],
        flow_partitions=counts[Topic.FLOWS],
        dead_letter_partitions=counts[Topic.DEAD_LETTERS],
    )


def _known(given: str) -> str:
    """A topic's id; empty if the broker gives none, or sixteen zero bytes in base64."""
    return "" if given == "AAAAAAAAAAAAAAAAAAAAAA" else given


def check_count(partition: int, topics: Topics) -> None:
    """Check that a partition given to this worker is one of those with which the topics were created.

    Raises:
        StreamsError: the partition was added later.
    """
    if partition >= topics.partitions:
        raise StreamsError(
            f"{topics.commands} has got more partitions than the {topics.partitions} it was made with: the count is "
            "fixed for the life of the topics. Begin with new topics: STREAMS_TOPIC_PREFIX",
        )


def tell_start(settings: Settings, worker_id: str) -> None:
    """Log what the worker works with."""
    log.info(
        "worker started",
        worker_id=worker_id,
        bootstrap_servers=settings.bootstrap_servers,
        state_dir=str(settings.state_dir),
        topic_prefix=settings.topic_prefix,
        shadow=settings.shadow,
    )
