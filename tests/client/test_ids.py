"""Ids and routing keys."""

from __future__ import annotations

import time
from uuid import UUID

import pytest

from streams.client.ids import ClientCommand, command_key, new_batch_id, new_invocation_id, routing_key
from streams.model import (
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    ControlBatch,
    ControlOperation,
    Filter,
    FlowAction,
    Invocation,
    Invoke,
    ReportTransition,
    StartBatch,
)


@pytest.mark.parametrize("new", [new_invocation_id, new_batch_id])
def test_ids_are_unique_and_rise_with_time(new: type[str]) -> None:
    """UUIDs of version 7: sorted as they were made, and never ahead of the clock however many are made at once."""
    made = [new() for _ in range(20_000)]
    assert len(set(made)) == len(made)
    assert made == sorted(made)
    assert UUID(made[0]).version == 7
    milliseconds = int(made[-1].replace("-", "")[:12], 16)
    assert -10_000 < milliseconds - time.time() * 1000 < 50


@pytest.mark.parametrize(
    ("invocation_id", "expected"),
    [("plain", "plain"), ("cart/42~u1", "cart/42"), ("a~b~c", "a~b"), ("~x", ""), ("x~", "x")],
)
def test_routing_key_is_what_stands_before_the_last_tilde(invocation_id: str, expected: str) -> None:
    """The whole id when it has none."""
    assert routing_key(invocation_id) == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (Invoke(invocation=Invocation(invocation_id="o/1~u", service="s", handler="h")), "o/1"),
        (ReportTransition(invocation_id="o/1~u", attempt=1), "o/1"),
        (Act(invocation_id="o/1~u", action=Action.KILL), "o/1"),
        (StartBatch(batch_id="b~1", action=Action.KILL, filter=Filter(match_all=True)), "b~1"),
        (ControlBatch(batch_id="b~1", operation=ControlOperation.ABORT), "b~1"),
        (CancelFlow(flow_id="f~1", action=FlowAction.KILL, policy=CancelPolicy.CANCEL_ALL), "f~1"),
    ],
)
def test_each_command_goes_under_its_routing_key(command: ClientCommand, expected: str) -> None:
    """An invocation's under that of its id, a batch's and a flow's under the whole id."""
    assert command_key(command) == expected
