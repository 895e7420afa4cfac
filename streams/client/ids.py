"""Ids, and the keys that route them."""

from __future__ import annotations

import uuid_utils

from streams.model import (
    Act,
    CancelFlow,
    ControlBatch,
    Invoke,
    ReportTransition,
    StartBatch,
)

ClientCommand = Invoke | ReportTransition | Act | StartBatch | ControlBatch | CancelFlow
"""Commands that clients and executors may send; all others are the workers' own."""


def new_invocation_id(service: str | None = None, object_key: str | None = None) -> str:
    """An id that rises with time (UUIDv7): the worker's index takes those in faster than random ones.

    With both arguments it is one of an object of a keyed service: all of the object's share a partition.
    """
    unique = str(uuid_utils.uuid7())
    return unique if service is None or object_key is None else f"{service}/{object_key}~{unique}"


def new_batch_id() -> str:
    """An id for a batch; listings in the order of ids are in the order of time."""
    return str(uuid_utils.uuid7())


def routing_key(invocation_id: str) -> str:
    """The part of an id that decides the partition: all before the last `~`, or the whole id if it has none."""
    before, tilde, _ = invocation_id.rpartition("~")
    return before if tilde else invocation_id


def command_key(command: ClientCommand) -> str:
    """The record key under which a command goes to the log."""
    match command:
        case Invoke():
            return routing_key(command.invocation.invocation_id)
        case ReportTransition() | Act():
            return routing_key(command.invocation_id)
        case StartBatch() | ControlBatch():
            return command.batch_id
        case CancelFlow():
            return command.flow_id
