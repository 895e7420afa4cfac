"""An invocation as it is shown: the fields of `Invocation` and of its row in one record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.model import Ending, FlowProgress, Status
from streams.model.base import Record

if TYPE_CHECKING:
    from streams.model import Invocation, Row


class Holder(Record, frozen=True):
    """The reason why an invocation waits; one field is set.

    `invocation_id`: the started invocation of its object. `batch_id`, `flow_id`, `parent_id`: the batch, the flow or
    the children of an invocation whose cancel is about to end it.
    """

    invocation_id: str | None = None
    batch_id: str | None = None
    flow_id: str | None = None
    parent_id: str | None = None


class InvocationView(Record, frozen=True):
    """One invocation, flat; absent fields are None.

    `deployment_id`: the one pinned by a report, else the requested one. `modified_at`: since when it has its status.
    `ending`: who is ending it, or has ended it, and why. `batch_id`: that of the ending. Only asked for alone it has
    `held_by`, `children` (the flow of its children) and, if wanted, `payload`.
    """

    partition: int
    seq: int
    invocation_id: str
    service: str
    handler: str
    status: Status
    attempt: int
    last_report_no: int
    created_at: int
    modified_at: int
    content_hash: int
    object_key: str | None = None
    deployment_id: str | None = None
    requested_deployment_id: str | None = None
    flow_id: str | None = None
    parent_id: str | None = None
    lease_ms: int | None = None
    labels: dict[str, str] = {}
    started_seq: int | None = None
    scheduled_at: int | None = None
    due_at: int | None = None
    paused_from: Status | None = None
    held: bool = False
    adopted: bool = False
    ending: Ending | None = None
    batch_id: str | None = None
    held_by: Holder | None = None
    children: FlowProgress | None = None
    payload: bytes | None = None


def view_of(
    partition: int,
    row: Row,
    invocation: Invocation,
    *,
    held_by: Holder | None = None,
    children: FlowProgress | None = None,
    payload: bytes | None = None,
) -> InvocationView:
    """The view of a row; `invocation`: its part that never changes."""
    return InvocationView(
        partition=partition,
        seq=row.seq,
        invocation_id=row.invocation_id,
        service=invocation.service,
        handler=invocation.handler,
        status=row.status,
        attempt=row.attempt,
        last_report_no=row.last_report_no,
        created_at=row.created_at,
        modified_at=row.modified_at,
        content_hash=row.content_hash,
        object_key=invocation.object_key,
        deployment_id=invocation.deployment_id if row.deployment_id is None else row.deployment_id,
        requested_deployment_id=invocation.deployment_id,
        flow_id=invocation.flow_id,
        parent_id=invocation.parent_id,
        lease_ms=invocation.lease_ms,
        labels=invocation.labels,
        started_seq=row.started_seq,
        scheduled_at=row.scheduled_at,
        due_at=row.due_at,
        paused_from=row.paused_from,
        held=row.held,
        adopted=row.adopted,
        ending=row.ending,
        batch_id=None if row.ending is None else row.ending.cause.batch_id,
        held_by=held_by,
        children=children,
        payload=payload,
    )
