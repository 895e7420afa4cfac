"""Commands of clients and executors."""

from __future__ import annotations

from streams.model.base import Record
from streams.model.shared import Cause, Filter, Invocation
from streams.model.vocabulary import Action, CancelPolicy, ControlOperation, FlowAction, OnTimeout, Status


class Invoke(Record, frozen=True):
    """Bring an invocation into the table.

    `encoded` is not a field of the schema: it holds the Avro bytes of `invocation` under today's schema, so that
    they can be carried into the row and its signals without encoding them again.
    """

    invocation: Invocation
    scheduled_at: int | None = None
    adopt: bool = False
    payload: bytes | None = None
    encoded: bytes = b""


class ReportTransition(Record, frozen=True):
    """An executor's report of an invocation's progress."""

    invocation_id: str
    attempt: int
    seq: int | None = None
    report_no: int | None = None
    to: Status = Status.RUNNING
    retry_at: int | None = None
    deployment_id: str | None = None
    error: str | None = None


class Act(Record, frozen=True):
    """One action on one invocation. `seq`: only if the invocation has this one, and not if its id was used again."""

    invocation_id: str
    action: Action
    grace_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.KILL
    only_unstarted: bool = False
    cause: Cause = Cause()
    seq: int | None = None


class StartBatch(Record, frozen=True):
    """One action on all invocations that a filter matches."""

    batch_id: str
    action: Action
    filter: Filter
    dry_run: bool = False
    limit: int | None = None
    max_rate: float | None = None
    grace_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.KILL
    standing_until: int | None = None
    expires_at: int | None = None
    reason: str | None = None
    actor: str | None = None


class ControlBatch(Record, frozen=True):
    """Change a batch while it runs."""

    batch_id: str
    operation: ControlOperation
    control_no: int | None = None
    max_rate: float | None = None
    actor: str | None = None


class CancelFlow(Record, frozen=True):
    """Cancel a flow and its members.

    `children`: `flow_id` is an invocation id, and the flow of that invocation's children is meant.
    """

    flow_id: str
    action: FlowAction
    policy: CancelPolicy
    grace_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.KILL
    reason: str | None = None
    actor: str | None = None
    children: bool = False


ClientCommand = Invoke | ReportTransition | Act | StartBatch | ControlBatch | CancelFlow
"""Commands that clients and executors may send."""
