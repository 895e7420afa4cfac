"""An admin client of the fake cluster: the calls that the worker and the topic commands make."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from confluent_kafka import (
    ConsumerGroupState,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Node,
    TopicCollection,
    TopicPartition,
    TopicPartitionInfo,
)
from confluent_kafka.admin import (
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    ConsumerGroupDescription,
    ListOffsetsResultInfo,
    MemberAssignment,
    MemberDescription,
    NewTopic,
    OffsetSpec,
    PartitionMetadata,
    TopicDescription,
    TopicMetadata,
)
from confluent_kafka.cimpl import OFFSET_SPEC_EARLIEST

from support.kafka.fake_faults import failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from support.kafka.fake_cluster import FakeCluster
    from support.kafka.fake_log import Log, Topic


class FakeAdminClient:
    """Like `confluent_kafka.admin.AdminClient`; every future is done when it is returned."""

    def __init__(self, cluster: FakeCluster, properties: Mapping[str, Any]) -> None:
        del properties
        self._cluster = cluster

    def create_topics(self, new_topics: list[NewTopic], **_: Any) -> dict[str, Future[None]]:
        """Create topics; the replication factor means nothing here."""

        def create(new: NewTopic) -> None:
            self._cluster.create_topic(new.topic, max(1, new.num_partitions), new.config)

        return {new.topic: _future(partial(create, new)) for new in new_topics}

    def delete_topics(self, topics: list[str], **_: Any) -> dict[str, Future[None]]:
        """Delete topics."""

        def delete(name: str) -> None:
            self._topic(name)
            self._cluster.delete_topic(name)

        return {name: _future(partial(delete, name)) for name in topics}

    def describe_topics(self, topics: TopicCollection, **_: Any) -> dict[str, Future[TopicDescription]]:
        """Names, ids and partitions."""

        def describe(name: str) -> TopicDescription:
            topic = self._topic(name)
            return TopicDescription(name, topic.id, False, [_info(number) for number in range(len(topic.logs))])

        return {name: _future(partial(describe, name)) for name in topics.topic_names}

    def describe_configs(
        self, resources: list[ConfigResource], **_: Any
    ) -> dict[ConfigResource, Future[dict[str, ConfigEntry]]]:
        """The configuration of topics."""

        def describe(name: str) -> dict[str, ConfigEntry]:
            return {key: ConfigEntry(key, value) for key, value in self._topic(name).config.items()}

        return {resource: _future(partial(describe, resource.name)) for resource in resources}

    def list_offsets(
        self,
        topic_partition_offsets: dict[TopicPartition, OffsetSpec],
        *,
        isolation_level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
        **_: Any,
    ) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
        """The earliest or the latest offset; under READ_COMMITTED the latest is the last stable one."""
        self._cluster.faults.step("list_offsets")

        def offset(asked: TopicPartition, spec: OffsetSpec) -> ListOffsetsResultInfo:
            log = self._log(asked)
            if spec._value == OFFSET_SPEC_EARLIEST:
                return ListOffsetsResultInfo(log.start, -1, 0)
            stable = isolation_level is IsolationLevel.READ_COMMITTED
            return ListOffsetsResultInfo(log.stable if stable else log.end, -1, 0)

        asked = topic_partition_offsets.items()
        return {partition: _future(partial(offset, partition, spec)) for partition, spec in asked}

    def delete_records(
        self, topic_partition_offsets: list[TopicPartition], **_: Any
    ) -> dict[TopicPartition, Future[None]]:
        """Let the logs start at these offsets."""

        def trim(asked: TopicPartition) -> None:
            self._log(asked).trim(asked.offset)

        return {asked: _future(partial(trim, asked)) for asked in topic_partition_offsets}

    def describe_consumer_groups(self, group_ids: list[str], **_: Any) -> dict[str, Future[ConsumerGroupDescription]]:
        """Members of groups; a group that nobody has ever been in has none, or is not found, by the broker's age."""

        def describe(name: str) -> ConsumerGroupDescription:
            self._cluster.faults.step("describe_groups")
            if name not in self._cluster.groups:
                raise failure(KafkaError.GROUP_ID_NOT_FOUND)
            ids = [(known, member.id) for known, member in self._cluster.groups[name].members.items()]
            members = [MemberDescription(own, own, "fake", MemberAssignment([]), known) for known, own in ids]
            state = ConsumerGroupState.STABLE if members else ConsumerGroupState.EMPTY
            return ConsumerGroupDescription(name, False, members, "", state, Node(1, "fake", 0))

        return {name: _future(partial(describe, name)) for name in group_ids}

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """Metadata of all topics, or of one, which carries an error when it is missing."""
        del timeout
        metadata = ClusterMetadata()
        metadata.topics = {name: _metadata(found) for name, found in self._cluster.topics.items()}
        if topic is not None:
            missing = TopicMetadata()
            missing.topic, missing.error = topic, KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
            metadata.topics = {topic: metadata.topics.get(topic, missing)}
        return metadata

    def _topic(self, name: str) -> Topic:
        if name not in self._cluster.topics:
            raise failure(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return self._cluster.topics[name]

    def _log(self, asked: TopicPartition) -> Log:
        log = self._cluster.log(asked.topic, asked.partition)
        if log is None:
            raise failure(KafkaError._NOENT, text="Failed to query partition leaders: No leaders found")
        return log


def _future(work: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()
    try:
        future.set_result(work())
    except KafkaException as error:
        future.set_exception(error)
    return future


def _info(number: int) -> TopicPartitionInfo:
    return TopicPartitionInfo(number, Node(1, "fake", 0), [], [])


def _partition(number: int) -> PartitionMetadata:
    partition = PartitionMetadata()
    partition.id, partition.leader = number, 1
    return partition


def _metadata(topic: Topic) -> TopicMetadata:
    metadata = TopicMetadata()
    metadata.topic = topic.name
    metadata.partitions = {number: _partition(number) for number in range(len(topic.logs))}
    return metadata
