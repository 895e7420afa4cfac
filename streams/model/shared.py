"""Parts that several records share."""

from __future__ import annotations

from streams.model.base import Record
from streams.model.vocabulary import OnTimeout, Status


class Invocation(Record, frozen=True):
    """The part of an invocation that never changes."""

    invocation_id: str
    service: str
    handler: str
    object_key: str | None = None
    deployment_id: str | None = None
    flow_id: str | None = None
    parent_id: str | None = None
    lease_ms: int | None = None
    labels: dict[str, str] = {}


class Cause(Record, frozen=True):
    """The origin of an act: who asked for it, and why."""

    batch_id: str | None = None
    flow_id: str | None = None
    actor: str | None = None
    reason: str | None = None


class Ending(Record, frozen=True):
    """The end of an invocation: how it is being ended, or was."""

    cause: Cause = Cause()
    on_timeout: OnTimeout = OnTimeout.KILL
    grace_until: int | None = None
    repeat: int = 0
    counted_by: str | None = None
    error: str | None = None


class Exclusion(Record, frozen=True):
    """The invocations that a filter leaves out: those that match at least one field of this record.

    Each list, each label, each label's list and each pair of times counts as one field. A row without a value for it
    does not match it.
    """

    created_from: int | None = None
    created_until: int | None = None
    modified_from: int | None = None
    modified_until: int | None = None
    services: tuple[str, ...] | None = None
    handlers: tuple[str, ...] | None = None
    object_keys: tuple[str, ...] | None = None
    deployment_ids: tuple[str, ...] | None = None
    statuses: tuple[Status, ...] | None = None
    flow_ids: tuple[str, ...] | None = None
    parent_ids: tuple[str, ...] | None = None
    batch_ids: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None
    labels_in: dict[str, tuple[str, ...]] | None = None


class Filter(Record, frozen=True):
    """The invocations that a batch is about. Fields are ANDed, values of a list ORed; an absent field matches all."""

    created_from: int | None = None
    created_until: int | None = None
    modified_from: int | None = None
    modified_until: int | None = None
    services: tuple[str, ...] | None = None
    handlers: tuple[str, ...] | None = None
    object_keys: tuple[str, ...] | None = None
    deployment_ids: tuple[str, ...] | None = None
    statuses: tuple[Status, ...] | None = None
    flow_ids: tuple[str, ...] | None = None
    parent_ids: tuple[str, ...] | None = None
    invocation_ids: tuple[str, ...] | None = None
    batch_ids: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None
    match_all: bool = False
    labels_in: dict[str, tuple[str, ...]] | None = None
    exclude: Exclusion | None = None
