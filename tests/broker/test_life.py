"""A broker of our own: killed, started again, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.broker.base import port_is_free

if TYPE_CHECKING:
    from pathlib import Path

    from streams import broker as brokers


@pytest.mark.durable
def test_acknowledged_records_survive_a_kill(own_broker: brokers.Broker) -> None:
    """What was acknowledged before a SIGKILL is there when the broker has been restarted, at the same address."""
    topic, address = uuid4().hex, own_broker.bootstrap
    conf: dict[str, Any] = {"bootstrap.servers": address, "log_level": 0}
    admin = AdminClient(conf)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    producer = Producer(conf)
    for number in range(100):
        producer.produce(topic, b"%d" % number, partition=0)
    assert producer.flush(30) == 0
    own_broker.kill()
    assert not own_broker.wait(0)
    own_broker.restart()
    assert own_broker.bootstrap == address
    reader = Consumer(conf | {"group.id": topic, "enable.auto.commit": False})
    reader.assign([TopicPartition(topic, 0, 0)])
    assert [message.value() for message in reader.consume(100, 30)] == [b"%d" % number for number in range(100)]
    reader.close()


@pytest.mark.broker
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_nothing_outlives_us(number: signal.Signals, tmp_path: Path) -> None:
    """However the program that runs a broker ends, the broker ends with it and its temporary folder goes."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    if ":" in environment.get("BROKER", ""):
        pytest.skip("the broker given by BROKER is not ours to end")
    program = [sys.executable, "-c", "import sys; from streams import broker; sys.exit(broker.main())"]
    with subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        port = int(line.split(" serves at ")[1].split(". ")[0].rpartition(":")[2])
        assert not port_is_free(port)
        running.send_signal(number)
        assert running.wait(60) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not port_is_free(port) or list(tmp_path.iterdir()):
        assert time.monotonic() < deadline, "something is left"
        time.sleep(0.1)
