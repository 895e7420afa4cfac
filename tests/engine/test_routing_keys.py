"""Where commands belong."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.partitioner import partitions_of
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    ClientCommand,
    ControlBatch,
    ControlOperation,
    ControlSlice,
    Filter,
    FlowAction,
    ReportTransition,
    SliceOperation,
    StartBatch,
)
from streams.protocol.routing import command_key, home, murmur2, partition_of, routing_key
from support.tables.memory_cluster import invoke


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_the_values_of_kafkas_own_tests(key: bytes, signed: int) -> None:
    """The hash is Kafka's: the vectors are those of its `UtilsTest`."""
    assert murmur2(key) == signed % 2**32


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=80), st.integers(1, 64))
def test_many_keys_at_once_go_where_each_goes(keys: list[str], partitions: int) -> None:
    """Vectorised and scalar routing always agree, in order, whatever the mix of lengths."""
    assert partitions_of(keys, partitions) == [partition_of(key, partitions) for key in keys]


@pytest.mark.parametrize("length", range(42))
def test_long_groups_of_one_length_go_where_each_goes(length: int) -> None:
    """Keys of one length, as ids are, take the vectorised path and still agree."""
    rng = Random(length)
    keys = ["".join(rng.choices("abcdef0123456789-~", k=length)) for _ in range(40)]
    assert partitions_of(keys, 7) == [partition_of(key, 7) for key in keys]


@pytest.mark.parametrize(
    ("invocation_id", "key"),
    [("plain", "plain"), ("cart/42~u1", "cart/42"), ("a~b~c", "a~b"), ("~u", ""), ("u~", "u")],
)
def test_the_routing_key_stands_before_the_last_tilde(invocation_id: str, key: str) -> None:
    """An id without a tilde is its own key."""
    assert routing_key(invocation_id) == key


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (invoke("o/1~u"), "o/1"),
        (ReportTransition("o/1~u", attempt=1), "o/1"),
        (Act("o/1~u", Action.KILL), "o/1"),
        (StartBatch("b~1", Action.KILL, Filter(match_all=True)), "b~1"),
        (ControlBatch("b~1", ControlOperation.ABORT), "b~1"),
        (CancelFlow("f~1", FlowAction.KILL, CancelPolicy.CANCEL_ALL), "f~1"),
        (CancelFlow("o/1~u", FlowAction.KILL, CancelPolicy.CANCEL_ALL, children=True), "o/1"),
    ],
)
def test_a_command_lives_where_its_subject_lives(command: ClientCommand, key: str) -> None:
    """An invocation's goes under the routing key of its id, a batch's and a flow's under the whole id."""
    assert command_key(command) == key
    assert home(command, 16) == partition_of(key, 16)


@pytest.mark.parametrize(("partition", "expected"), [(0, 0), (3, 3), (4, None), (-1, None)])
def test_an_internal_command_carries_its_partition(partition: int, expected: int | None) -> None:
    """A partition that does not exist is nobody's home."""
    assert home(ControlSlice(ENGINE_VERSION, partition, "b", SliceOperation.FORGET), 4) == expected
