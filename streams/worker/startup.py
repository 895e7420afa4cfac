"""The start of a worker: facts about its topics, and the first line of its log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import ConfigResource, ResourceType

from streams.config import Topic
from streams.errors import StreamsError
from streams.worker.agreement import TopicFacts

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.kafka.clients import Clients

log = structlog.get_logger("streams.worker")

_TIMEOUT_S = 10.0
_DAY_MS = 86_400_000


class Topics(NamedTuple):
    """Names and counts the worker needs each turn."""

    facts: TopicFacts
    slice_partitions: int
    dead_letter_partitions: int

    @property
    def commands(self) -> str:
        """The name of the command log."""
        return self.facts.commands


def learn_topics(clients: Clients, settings: Settings) -> Topics:
    """Ask the broker for partition counts, topic ids and the tombstone retention of the changelog.

    Raises:
        StreamsError: a topic is missing, partition counts differ, or the broker does not answer.
    """
    admin = clients.admin(settings.kafka_properties())
    names = {topic: settings.topic(topic) for topic in Topic}
    described = {topic: described_topic(admin, name) for topic, name in names.items()}
    commands, changelog = described[Topic.COMMANDS], described[Topic.CHANGELOG]
    for other in (changelog, described[Topic.SIGNALS]):
        if len(other.partitions) != len(commands.partitions):
            raise StreamsError(
                f"topic {other.name} has {len(other.partitions)} partitions, {commands.name} has "
                f"{len(commands.partitions)}: partition p of one belongs to partition p of the other, and the count is "
                "fixed for the life of the topics",
            )
    facts = TopicFacts(
        commands=names[Topic.COMMANDS],
        changelog=names[Topic.CHANGELOG],
        partitions=len(commands.partitions),
        commands_id=str(commands.topic_id or ""),
        changelog_id=str(changelog.topic_id or ""),
        delete_retention_ms=_delete_retention(admin, names[Topic.CHANGELOG]),
    )
    return Topics(
        facts=facts,
        slice_partitions=len(described[Topic.BATCH_SLICES].partitions),
        dead_letter_partitions=len(described[Topic.DEAD_LETTERS].partitions),
    )


def described_topic(admin: Any, name: str) -> Any:
    """The broker's description of a topic: its id and partitions.

    Raises:
        StreamsError: it does not exist, or may not be described.
    """
    try:
        future = admin.describe_topics(TopicCollection([name]), request_timeout=_TIMEOUT_S)[name]
        return future.result(_TIMEOUT_S)
    except KafkaException as exc:
        raise StreamsError(f"topic {name}: {exc.args[0].str()}: run `streams topics create`") from exc


def _delete_retention(admin: Any, name: str) -> int:
    resource = ConfigResource(ResourceType.TOPIC, name)
    entries = admin.describe_configs([resource], request_timeout=_TIMEOUT_S)[resource].result(_TIMEOUT_S)
    entry = entries.get("delete.retention.ms")
    return int(entry.value) if entry is not None and entry.value else _DAY_MS


def check_count(partition: int, facts: TopicFacts) -> None:
    """Check that a partition given to this worker is one of those with which the topics were created.

    Raises:
        StreamsError: the partition was added later.
    """
    if partition >= facts.partitions:
        raise StreamsError(
            f"{facts.commands} has got more partitions than the {facts.partitions} it was made with: the count is "
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
