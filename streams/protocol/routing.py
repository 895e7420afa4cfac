"""The partition of a command: Kafka's own partitioner over the routing key."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, cast

from streams.model import Act, CancelFlow, ControlBatch, Invoke, ReportTransition, StartBatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.model import ClientCommand, Command, Internal

SEED: Final = 0x9747B28C
M: Final = 0x5BD1E995
POSITIVE: Final = 0x7FFFFFFF
_MASK: Final = 0xFFFFFFFF


def routing_key(invocation_id: str) -> str:
    """The part of the id before its last `~`, or the whole id if it has none."""
    return invocation_id.rpartition("~")[0] if "~" in invocation_id else invocation_id


def _of_invoke(command: Invoke) -> str:
    return routing_key(command.invocation.invocation_id)


def _of_invocation(command: ReportTransition | Act) -> str:
    return routing_key(command.invocation_id)


def _of_flow(command: CancelFlow) -> str:
    return routing_key(command.flow_id) if command.children else command.flow_id


_KEY_OF: Final[dict[type, Callable[[Any], str]]] = {
    Invoke: _of_invoke,
    ReportTransition: _of_invocation,
    Act: _of_invocation,
    StartBatch: attrgetter("batch_id"),
    ControlBatch: attrgetter("batch_id"),
    CancelFlow: _of_flow,
}
"""Each kind of `ClientCommand`. A worker asks for every record, and a `match` is slower."""


def command_key(command: ClientCommand) -> str:
    """The record key under which a command goes to the log."""
    return _KEY_OF[type(command)](command)


def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 with Kafka's seed, unsigned (`org.apache.kafka.common.utils.Utils.murmur2`)."""
    length = len(data)
    h = SEED ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * M & _MASK
        k = (k ^ k >> 24) * M & _MASK
        h = h * M & _MASK ^ k
    if length > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * M & _MASK
    h = (h ^ h >> 13) * M & _MASK
    return h ^ h >> 15


def partition_of(key: str, partitions: int) -> int:
    """The partition of a routing key, as Kafka's Java partitioner and `murmur2_random` choose it."""
    return choose(key.encode(), partitions)


def choose(key: bytes, partitions: int) -> int:
    """`partition_of` for an encoded key."""
    return (murmur2(key) & POSITIVE) % partitions


def home(command: Command, partitions: int, choose: Callable[[bytes, int], int] = choose) -> int | None:
    """The partition that `command` belongs to; None for an internal command whose partition does not exist.

    `choose`: a faster implementation of the partitioner, if there is one.
    """
    key_of = _KEY_OF.get(type(command))
    if key_of is not None:
        return choose(key_of(command).encode(), partitions)
    partition = cast("Internal", command).partition
    return partition if 0 <= partition < partitions else None
