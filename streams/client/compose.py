"""Commands from keyword arguments, the same for both kinds of client."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypedDict

from streams.client.ids import new_invocation_id
from streams.model import (
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    Cause,
    ControlBatch,
    ControlOperation,
    FlowAction,
    Invocation,
    Invoke,
    OnTimeout,
)

if TYPE_CHECKING:
    from typing import Unpack


class InvocationOptions(TypedDict, total=False):
    """Options of an invocation besides service and handler.

    invocation_id: an id of your own; sent again with the same content, it is the same invocation. If absent, a new id.
    object_key: the object of a keyed service; one invocation at a time runs for each.
    flow_id: the flow that it joins, to be cancelled with it.
    parent_id: the invocation whose child it is, to be cancelled with it.
    lease_ms: it is started again when its executor reports nothing for this long.
    labels: keys and values that batches may filter on.
    """

    invocation_id: str
    object_key: str
    deployment_id: str
    flow_id: str | None
    parent_id: str | None
    lease_ms: int
    labels: dict[str, str]


class ActOptions(TypedDict, total=False):
    """Options of an act: who asks for it, and why."""

    actor: str
    reason: str


class CancelOptions(ActOptions, total=False):
    """grace_ms: time for the executor to end it, 0 to 24 h. on_timeout: what happens after that."""

    grace_ms: int
    on_timeout: OnTimeout


class FlowCancelOptions(CancelOptions, total=False):
    """Options of the cancel of a flow.

    action: KILL ends members at once; CANCEL, if absent, asks their executors. policy: the members that it reaches;
    all, if absent. children: the flow id is an invocation's, and its children are meant.
    """

    action: FlowAction
    policy: CancelPolicy
    children: bool


class ControlOptions(TypedDict, total=False):
    """max_rate: rows per second, with SET_RATE."""

    max_rate: float
    actor: str


def invocation(service: str, handler: str, options: InvocationOptions) -> Invocation:
    """An `Invocation` from its options, with a new id unless one is given."""
    object_key = options.get("object_key")
    invocation_id = options.get("invocation_id") or new_invocation_id(service, object_key)
    chosen = {name: value for name, value in options.items() if name != "invocation_id"}
    return Invocation(invocation_id, service, handler, **chosen)  # type: ignore[arg-type]


def invoke(
    service: str,
    handler: str,
    payload: bytes | None,
    scheduled_at: int | None,
    options: InvocationOptions,
) -> Invoke:
    """An `Invoke` of a new invocation."""
    return Invoke(invocation(service, handler, options), scheduled_at=scheduled_at, payload=payload)


def adopt(service: str, handler: str, payload: bytes | None, options: InvocationOptions) -> Invoke:
    """An `Invoke` of an invocation that already runs elsewhere."""
    return Invoke(invocation(service, handler, options), adopt=True, payload=payload)


def kill(invocation_id: str, **options: Unpack[ActOptions]) -> Act:
    """A KILL of one invocation: it ends at once."""
    return Act(invocation_id, Action.KILL, cause=Cause(**options))


def cancel(invocation_id: str, **options: Unpack[CancelOptions]) -> Act:
    """A CANCEL of one invocation: its executor is asked to end it."""
    cause = Cause(actor=options.get("actor"), reason=options.get("reason"))
    on_timeout = options.get("on_timeout", OnTimeout.KILL)
    return Act(invocation_id, Action.CANCEL, options.get("grace_ms"), on_timeout, cause=cause)


def pause(invocation_id: str, **options: Unpack[ActOptions]) -> Act:
    """A PAUSE of one invocation: it is held where it is."""
    return Act(invocation_id, Action.PAUSE, cause=Cause(**options))


def resume(invocation_id: str, **options: Unpack[ActOptions]) -> Act:
    """A RESUME of one invocation: it goes on if it is paused."""
    return Act(invocation_id, Action.RESUME, cause=Cause(**options))


def restart(invocation_id: str, **options: Unpack[ActOptions]) -> Act:
    """A RESTART of one invocation: it runs again if it has ended."""
    return Act(invocation_id, Action.RESTART, cause=Cause(**options))


def purge(invocation_id: str, **options: Unpack[ActOptions]) -> Act:
    """A PURGE of one invocation: it is removed if it has ended."""
    return Act(invocation_id, Action.PURGE, cause=Cause(**options))


def cancel_flow(flow_id: str, options: FlowCancelOptions) -> CancelFlow:
    """A cancel of a flow and its members."""
    return CancelFlow(flow_id, **({"action": FlowAction.CANCEL, "policy": CancelPolicy.CANCEL_ALL} | options))


def control(batch_id: str, operation: ControlOperation, options: ControlOptions) -> ControlBatch:
    """A change to a running batch. It is numbered, so that an older one that arrives late is ignored."""
    return ControlBatch(batch_id, operation, control_no=time.time_ns() // 1_000, **options)
