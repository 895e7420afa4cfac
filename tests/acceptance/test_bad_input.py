"""Bad records, and records on the wrong partition: dead letters or forwarded, and the partition goes on."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streams import codec
from streams.client.ids import new_invocation_id
from streams.config import Topic
from streams.model import Act, Action, Invoke, Status
from support.service import oracle
from support.service.workload import invoke

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Service

pytestmark = pytest.mark.broker

MIB = 1024 * 1024


class Bad(NamedTuple):
    """A record that is not a command, and the dead letter that it must become."""

    value: bytes | None
    code: str


BAD = {
    "garbage": Bad(b"\x00garbage\xff" * 10, "not_avro"),
    "empty": Bad(b"", "empty_value"),
    "tombstone": Bad(None, "empty_value"),
    "unknown schema": Bad(b"\xc3\x01" + b"\x07" * 8 + b"body", "unknown_schema"),
    "cut short": Bad(codec.encode(invoke("cut"))[:-4], "malformed"),
    "header only": Bad(codec.encode(invoke("cut"))[:10], "malformed"),
    "long id": Bad(codec.encode(invoke("i" * 300)), "invalid_invocation_id"),
    "no id": Bad(codec.encode(invoke("")), "invalid_invocation_id"),
    "control character": Bad(codec.encode(invoke("a\nb")), "invalid_invocation_id"),
    "1 MiB of garbage": Bad(b"g" * (MIB - 1_000), "not_avro"),
    "1 MiB payload": Bad(codec.encode(invoke("big", payload=b"p" * (MIB - 1_000))), "invalid_payload"),
    "grace below zero": Bad(codec.encode(Act("one", Action.PURGE, grace_ms=-1)), "invalid_grace_ms"),
}


def test_each_bad_record_becomes_a_dead_letter_and_the_partition_goes_on(make_service: Callable[..., Service]) -> None:
    """Dead letters keep key and value and say where the record stood and what is wrong; later commands are applied."""
    service = make_service(partitions=1)
    service.worker("a")
    places = {}
    for name, bad in BAD.items():
        service.send(invoke(f"before {name}"))
        places[name] = service.send_raw(bad.value, key=name)
    service.send(invoke("last"))
    log = {(entry.partition, entry.offset): entry for entry in service.settle()}
    letters = {letter.key: letter for letter in service.read(Topic.DEAD_LETTERS)}
    assert letters.keys() == BAD.keys()
    for name, bad in BAD.items():
        letter, (partition, offset) = letters[name], places[name]
        headers = dict(letter.headers)
        assert letter.value == bad.value, name
        assert headers.pop("error-message"), name
        assert headers == {
            "source-topic": service.settings.topic(Topic.COMMANDS),
            "source-partition": str(partition),
            "source-offset": str(offset),
            "source-timestamp": str(log[partition, offset].timestamp),
            "error-code": bad.code,
        }, name
    table = oracle.fold(service.read(Topic.CHANGELOG))
    ids = {row.invocation.invocation_id for row in table.rows.values()}
    assert ids == {f"before {name}" for name in BAD} | {"last"}
    service.verify()


def test_the_same_id_with_other_content_is_a_dead_letter(make_service: Callable[..., Service]) -> None:
    """An Invoke repeated is a no-op; with other content under the same id it is a dead letter."""
    service = make_service(partitions=1)
    service.worker("a")
    service.send(invoke("one"), invoke("one"), invoke("one", "other"), invoke("two"))
    service.settle()
    [letter] = service.read(Topic.DEAD_LETTERS)
    assert letter.headers["error-code"] == "conflicting_invoke"
    table = oracle.fold(service.read(Topic.CHANGELOG))
    assert sorted((seq, row.invocation.service) for (_, seq), row in table.rows.items()) == [
        (0, "billing"),
        (3, "billing"),
    ]
    assert oracle.check_signals(service.read(Topic.SIGNALS)).total() == 2
    service.verify()


def test_a_record_on_the_wrong_partition_is_forwarded(make_service: Callable[..., Service]) -> None:
    """Another client's partitioner may have put a command anywhere: it counts from where it lands at home."""
    service = make_service()
    service.worker("a")
    service.worker("b")
    ids = [new_invocation_id() for _ in range(40)]
    for index, invocation_id in enumerate(ids):
        service.send_raw(codec.encode(invoke(invocation_id)), invocation_id, index % 4)
    service.send_many(invoke(f"home-{each}") for each in range(40))
    ends = {entry.partition: entry.offset for entry in service.settle()}
    # The partitioner of a proper client says where each belongs.
    service.send_many(invoke(invocation_id) for invocation_id in ids)
    homes = {_id(entry.value): entry.partition for entry in service.settle() if entry.offset > ends[entry.partition]}
    table = oracle.fold(service.read(Topic.CHANGELOG))
    found = {row.invocation.invocation_id: (partition, row.status) for (partition, _), row in table.rows.items()}
    assert homes.keys() == set(ids)
    assert {each: found[each] for each in ids} == {each: (homes[each], Status.READY) for each in ids}
    assert set(homes.values()) == set(range(4)), "every partition is to get some"
    assert len(found) == 80
    assert service.read(Topic.DEAD_LETTERS) == []
    assert oracle.check_signals(service.read(Topic.SIGNALS)).total() == 80
    service.verify()


def _id(value: bytes | None) -> str:
    record = codec.decode(value)
    return record.invocation.invocation_id if isinstance(record, Invoke) else ""


def test_a_command_whose_writes_kafka_refuses_is_a_dead_letter(make_service: Callable[..., Service]) -> None:
    """A topic that takes less than before stops nothing: the others of its turn are applied."""
    service = make_service(partitions=2)
    service.worker("a")
    service.send(invoke("first"))
    service.settle()
    resource = ConfigResource(ResourceType.TOPIC, service.settings.topic(Topic.CHANGELOG))
    resource.add_incremental_config(
        ConfigEntry("max.message.bytes", "50000", incremental_operation=AlterConfigOpType.SET)
    )
    admin = AdminClient({"bootstrap.servers": service.settings.bootstrap_servers})
    admin.incremental_alter_configs([resource])[resource].result(10)
    payload = random.Random(1).randbytes(100_000)
    service.send(*(invoke(f"i-{n}", payload=payload if n == 17 else b"x") for n in range(40)))
    service.settle()
    [letter] = service.read(Topic.DEAD_LETTERS)
    assert (letter.key, letter.headers["error-code"]) == ("i-17", "not_writable")
    table = oracle.fold(service.read(Topic.CHANGELOG))
    ids = {row.invocation.invocation_id for row in table.rows.values()}
    assert ids == {"first"} | {f"i-{n}" for n in range(40) if n != 17}
    service.verify()
