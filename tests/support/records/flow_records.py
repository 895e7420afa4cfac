"""Records of `flows`, with what a test does not care about filled in."""

from __future__ import annotations

from typing import Any

from streams.model import CancelPolicy, FlowAction, FlowProgress, FlowState, OnTimeout


def flow_progress(flow_id: str = "f", state: FlowState = FlowState.CANCELLED, **changes: Any) -> FlowProgress:
    """A flow of 7 members, cancelled unless it is OPEN, which all have ended unless `changes` says otherwise."""
    cancelled = state is not FlowState.OPEN
    fields: dict[str, Any] = {
        "flow_id": flow_id,
        "state": state,
        "action": FlowAction.CANCEL if cancelled else None,
        "policy": CancelPolicy.CANCEL_ALL if cancelled else None,
        "reason": "flow_cancelled" if cancelled else None,
        "actor": "ada" if cancelled else None,
        "escalated_by": None,
        "grace_ms": 30_000 if cancelled else None,
        "on_timeout": OnTimeout.KILL if cancelled else None,
        "members": 7,
        "live": 0,
        "pending": 0,
        "ended": 7,
        "kept": 0,
        "failed": 0,
        "failures": (),
        "backlog": state is FlowState.CANCELLING,
        "next_due_at": 3_000 if state is FlowState.CANCELLING else None,
        "revision": 5,
        "created_at": 1_000,
        "updated_at": 2_000,
    }
    return FlowProgress(**(fields | changes))
