"""Topics: what is found wrong with those that exist."""

from __future__ import annotations

import pytest

from streams.config import Settings, Topic
from streams.kafka.topics import SPECS, problems

SETTINGS = Settings(topic_prefix="t.", kafka={})
COUNTS = {SETTINGS.topic(spec.topic): 1 if spec.single else 4 for spec in SPECS}
CONFIGS = {SETTINGS.topic(spec.topic): dict(spec.config) for spec in SPECS}


def _with(topic: Topic, name: str, value: str) -> list[str]:
    full = SETTINGS.topic(topic)
    return problems(SETTINGS, COUNTS, CONFIGS | {full: CONFIGS[full] | {name: value}})


def test_every_topic_of_the_protocol_has_a_specification() -> None:
    """None can be forgotten by `topics create`."""
    assert {spec.topic for spec in SPECS} == set(Topic)


def test_topics_as_they_are_created_have_no_problem() -> None:
    """What `create` asks for passes `check`."""
    assert problems(SETTINGS, COUNTS, CONFIGS) == []


def test_a_missing_topic_is_named_with_the_way_out() -> None:
    """A topic that does not exist is never created on the way."""
    counts = {name: count for name, count in COUNTS.items() if name != "t.signals"}
    configs = {name: config for name, config in CONFIGS.items() if name != "t.signals"}
    assert problems(SETTINGS, counts, configs) == [
        "topic t.signals does not exist at localhost:9092: run `streams topics create`"
    ]


def test_unequal_partition_counts_are_a_problem() -> None:
    """Partition p of one topic belongs to partition p of the others."""
    [line] = problems(SETTINGS, COUNTS | {"t.changelog": 8}, CONFIGS)
    assert "t.commands has 4, t.changelog has 8, t.signals has 4" in line


@pytest.mark.parametrize(
    ("topic", "name", "value"),
    [
        (Topic.COMMANDS, "message.timestamp.type", "CreateTime"),
        (Topic.COMMANDS, "cleanup.policy", "compact"),
        (Topic.COMMANDS, "retention.ms", "3600000"),
        (Topic.COMMANDS, "retention.bytes", "1073741824"),
        (Topic.COMMANDS, "max.message.bytes", "1000000"),
        (Topic.CHANGELOG, "cleanup.policy", "compact,delete"),
        (Topic.CHANGELOG, "max.message.bytes", "1048588"),
        (Topic.BATCHES, "cleanup.policy", "delete"),
        (Topic.DEAD_LETTERS, "retention.ms", "60000"),
    ],
)
def test_a_setting_that_would_lose_or_misread_records_is_a_problem(topic: Topic, name: str, value: str) -> None:
    """The line names the topic, the setting, what it is and how to put it right."""
    [line] = _with(topic, name, value)
    assert line.startswith(f"topic {SETTINGS.topic(topic)}: {name} is {value}")
    assert f"--add-config {name}=" in line


def test_a_longer_retention_than_asked_for_is_fine() -> None:
    """Commands may be kept for a limited time, as long as no batch is remembered longer."""
    assert _with(Topic.COMMANDS, "retention.ms", str(SETTINGS.batch_retention_ms)) == []
