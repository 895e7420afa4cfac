"""New ids."""

from __future__ import annotations

import uuid_utils


def new_invocation_id(service: str | None = None, object_key: str | None = None) -> str:
    """An id that rises with time (UUIDv7): the worker's index takes those in faster than random ones.

    With both arguments it is one of an object of a keyed service: all of the object's share a partition.
    """
    unique = str(uuid_utils.uuid7())
    return unique if service is None or object_key is None else f"{service}/{object_key}~{unique}"


def new_batch_id() -> str:
    """An id for a batch; listings in the order of ids are in the order of time."""
    return str(uuid_utils.uuid7())
