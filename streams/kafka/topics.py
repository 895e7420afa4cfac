"""The topics of the service: requirements, creation, and checks of existing ones."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka.admin import NewTopic

from streams.config import Topic
from streams.errors import StreamsError
from streams.kafka.admin import Admin, metadata
from streams.kafka.clients import MAX_RECORD_BYTES, TIMEOUT_S
from streams.kafka.errors import TopicMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.config import Settings
    from streams.kafka.clients import Trouble

DEFAULT_PARTITIONS = 4

SAME_COUNT = (Topic.COMMANDS, Topic.CHANGELOG, Topic.SIGNALS)
"""Topics whose partition p belongs to partition p of the others."""

_MIB = 1024 * 1024
_DAY_MS = 86_400_000
_UNLIMITED = "-1"
_RECORD_OVERHEAD = 4_096  # the broker's limit includes key, headers and the batch's frame


@dataclass(frozen=True)
class Spec:
    """The requirements of a topic; `single`: one partition, however many `commands` has."""

    topic: Topic
    config: Mapping[str, str]
    single: bool = False

    @property
    def cleanup(self) -> str:
        """The topic's cleanup policy."""
        return self.config["cleanup.policy"]


@dataclass(frozen=True)
class Created:
    """One topic after `create`; `existed`: it was there before and meets its requirements."""

    name: str
    partitions: int
    existed: bool


def _kept(retention_ms: str, **more: str) -> dict[str, str]:
    config = {"cleanup.policy": "delete", "retention.ms": retention_ms, "max.message.bytes": str(MAX_RECORD_BYTES)}
    return config | {name.replace("_", "."): value for name, value in more.items()}


def _compacted(segment_bytes: int) -> dict[str, str]:
    return {
        "cleanup.policy": "compact",
        "segment.bytes": str(segment_bytes),
        "min.cleanable.dirty.ratio": "0.2",
        "delete.retention.ms": str(_DAY_MS),
        "max.message.bytes": str(MAX_RECORD_BYTES),
    }


SPECS = (
    Spec(
        Topic.COMMANDS,
        _kept(_UNLIMITED, message_timestamp_type="LogAppendTime", max_message_bytes=str(_MIB + _RECORD_OVERHEAD)),
    ),
    # A restore reads the active segment uncompacted: it must not be large.
    Spec(Topic.CHANGELOG, _compacted(64 * _MIB)),
    Spec(Topic.SIGNALS, _kept(str(7 * _DAY_MS))),
    Spec(Topic.BATCH_SLICES, _compacted(16 * _MIB)),
    Spec(Topic.BATCHES, _compacted(16 * _MIB), single=True),
    Spec(Topic.FLOWS, _compacted(16 * _MIB)),
    Spec(Topic.WORKERS, _compacted(_MIB), single=True),
    Spec(Topic.DEAD_LETTERS, _kept(_UNLIMITED), single=True),
)


def create(settings: Settings, partitions: int | None = None, replication_factor: int | None = None) -> list[Created]:
    """Create missing topics. Existing ones are left as they are and must meet their requirements.

    Args:
        settings: the brokers and the topics' prefix.
        partitions: of `commands`, `changelog` and `signals`; fixed for the life of the topics. Absent: as many as the
            existing ones have, else four.
        replication_factor: copies of each record; absent: three, or as many as there are brokers.

    Raises:
        StreamsError: Kafka cannot be reached, refuses, or a topic exists and differs.
    """
    kafka = Admin(settings)
    copies = replication_factor or min(3, kafka.broker_count())
    before = kafka.partition_counts()
    same = {name: before[name] for name in map(settings.topic, SAME_COUNT) if name in before}
    partitions = partitions or next(iter(same.values()), DEFAULT_PARTITIONS)
    for name, found in same.items():
        if found != partitions:
            raise StreamsError(
                f"topic {name} has {found} partitions, not {partitions}: the count is fixed for the life of the "
                f"topics; ask for --partitions {found}, or choose another STREAMS_TOPIC_PREFIX"
            )
    missing = [spec for spec in SPECS if settings.topic(spec.topic) not in before]
    kafka.create([_new_topic(settings, spec, partitions, copies) for spec in missing])
    _wait_until_known(kafka, settings)
    require_sound(settings)
    counts = kafka.partition_counts()
    names = [settings.topic(spec.topic) for spec in SPECS]
    return [Created(name, counts[name], name in before) for name in names]


def check(settings: Settings) -> list[str]:
    """The faults of the topics, one line each; empty if there are none.

    Raises:
        StreamsError: Kafka cannot be reached, or refuses to say.
    """
    kafka = Admin(settings)
    counts = kafka.partition_counts()
    present = [settings.topic(spec.topic) for spec in SPECS if settings.topic(spec.topic) in counts]
    return problems(settings, counts, dict(zip(present, kafka.configs(present), strict=True)))


def problems(settings: Settings, counts: Mapping[str, int], configs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The faults of topics, given the number of partitions and the configuration of each by its full name."""
    found = [_missing(settings, [name]) for spec in SPECS if (name := settings.topic(spec.topic)) not in counts]
    found += _unequal(settings, counts)
    for spec in SPECS:
        name = settings.topic(spec.topic)
        if name in configs:
            found += [f"topic {name}: {line}" for line in _wrong(spec, configs[name], settings)]
    return found


def require(
    client: Any, settings: Settings, trouble: Trouble, *topics: Topic, timeout: float = TIMEOUT_S
) -> dict[str, Any]:
    """Check that topics exist; returns the metadata of each, by its full name.

    `client` may be any with confluent_kafka's interface, `trouble` is its error callback.

    Raises:
        BrokerUnavailableError: no answer within `timeout` seconds.
        TopicMissingError: one of them does not exist.
    """
    found = metadata(client, settings, trouble, timeout).topics
    names = [settings.topic(topic) for topic in topics]
    if missing := [name for name in names if name not in found]:
        raise TopicMissingError(_missing(settings, missing))
    return {name: found[name] for name in names}


def require_sound(settings: Settings) -> None:
    """Raise a `StreamsError` with everything that `check` finds; missing topics share one line."""
    admin = Admin(settings)
    require(admin.client, settings, admin.trouble, *Topic)
    if found := check(settings):
        raise StreamsError("\n".join(found))


def _missing(settings: Settings, names: list[str]) -> str:
    subject, verb = ("topic", "does") if len(names) == 1 else ("topics", "do")
    listed = ", ".join(names)
    return f"{subject} {listed} {verb} not exist at {settings.bootstrap_servers}: run `streams topics create`"


def _new_topic(settings: Settings, spec: Spec, partitions: int, copies: int) -> NewTopic:
    config = dict(spec.config)
    if copies > 1:
        config["min.insync.replicas"] = "2"
    count = 1 if spec.single else partitions
    return NewTopic(settings.topic(spec.topic), num_partitions=count, replication_factor=copies, config=config)


def _unequal(settings: Settings, counts: Mapping[str, int]) -> list[str]:
    found = {name: counts[name] for name in map(settings.topic, SAME_COUNT) if name in counts}
    if len(set(found.values())) <= 1:
        return []
    listed = ", ".join(f"{name} has {count}" for name, count in found.items())
    return [f"partition counts differ, and must not: {listed}; create them again under another STREAMS_TOPIC_PREFIX"]


def _wrong(spec: Spec, config: Mapping[str, str], settings: Settings) -> list[str]:
    found = [
        f"{name} is {config.get(name)} and must be {spec.config[name]}: {_alter(name, spec)}"
        for name in ("cleanup.policy", "message.timestamp.type")
        if name in spec.config and config.get(name) != spec.config[name]
    ]
    size = "max.message.bytes"
    if int(config.get(size, 0)) < int(spec.config[size]):
        found.append(f"{size} is {config.get(size)} and must be {spec.config[size]} or more: {_alter(size, spec)}")
    return found + (_trimmed(spec, config, settings) if spec.topic in {Topic.COMMANDS, Topic.DEAD_LETTERS} else [])


def _trimmed(spec: Spec, config: Mapping[str, str], settings: Settings) -> list[str]:
    found = []
    kept = int(config.get("retention.ms", _UNLIMITED))
    if 0 <= kept < settings.batch_retention_ms:
        found.append(
            f"retention.ms is {kept} and must be -1 or at least STREAMS_BATCH_RETENTION_MS "
            f"({settings.batch_retention_ms}): {_alter('retention.ms', spec)}"
        )
    if config.get("retention.bytes", _UNLIMITED) != _UNLIMITED:
        found.append(
            f"retention.bytes is {config['retention.bytes']} and must be -1: a size limit drops commands that were "
            "not handled yet; kafka-configs.sh --alter --add-config retention.bytes=-1"
        )
    return found


def _alter(name: str, spec: Spec) -> str:
    return f"kafka-configs.sh --alter --add-config {name}={spec.config[name]}"


def _wait_until_known(kafka: Admin, settings: Settings) -> None:
    # Creation returns before every broker knows the topic.
    names = {settings.topic(spec.topic) for spec in SPECS}
    deadline = time.monotonic() + TIMEOUT_S
    while missing := names - kafka.partition_counts().keys():
        if time.monotonic() > deadline:
            listed = ", ".join(sorted(missing))
            raise StreamsError(f"created, but unknown to the brokers after {TIMEOUT_S:.0f} s: {listed}; try again")
        time.sleep(0.1)
