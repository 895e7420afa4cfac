"""New ids."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

import uuid_utils

_CHILDREN: Final = UUID("7d0c1f5e-5c57-4e0b-9a53-0f2d3a2b8f11")


def new_invocation_id(service: str | None = None, object_key: str | None = None) -> str:
    """An id that rises with time (UUIDv7): the worker's index takes those in faster than random ones.

    With both arguments it is one of an object of a keyed service: all of the object's share a partition.
    """
    return _of_object(str(uuid_utils.uuid7()), service, object_key)


def child_id(parent_id: str, seq: int, name: str, service: str, object_key: str | None = None) -> str:
    """The id of the child that an invocation, in this life of its id, calls by this name: each time the same."""
    return _of_object(str(uuid5(_CHILDREN, f"{seq}/{name}/{parent_id}")), service, object_key)


def new_batch_id() -> str:
    """An id for a batch; listings in the order of ids are in the order of time."""
    return str(uuid_utils.uuid7())


def _of_object(unique: str, service: str | None, object_key: str | None) -> str:
    return unique if service is None or object_key is None else f"{service}/{object_key}~{unique}"
