"""Kafka clients take what the settings say, also where the service has a default of its own."""

from __future__ import annotations

import pytest

from streams.errors import ConfigError
from streams.kafka.clients import KafkaClients


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"reconnect.backoff.ms": 2_000},
        {"reconnect.backoff.max.ms": 200},
        {"reconnect.backoff.ms": 5, "reconnect.backoff.max.ms": 5},
    ],
)
def test_either_of_two_properties_that_bound_each_other_can_be_set_alone(chosen: dict[str, int]) -> None:
    """A first wait that is longer than the longest is refused: a default beside what was set must not do that."""
    KafkaClients().admin({"bootstrap.servers": "127.0.0.1:1", "log_level": 0, **chosen})


def test_what_contradicts_itself_is_refused() -> None:
    """By its name."""
    with pytest.raises(ConfigError, match=r"reconnect\.backoff\.max\.ms"):
        KafkaClients().admin(
            {"bootstrap.servers": "127.0.0.1:1", "reconnect.backoff.ms": 9, "reconnect.backoff.max.ms": 5}
        )
