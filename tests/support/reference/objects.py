"""Virtual objects: one started invocation at a time, the inbox in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.model import SignalKind, Status
from support.reference import rows, slices
from support.reference.partition import Refused

if TYPE_CHECKING:
    from streams.model import Invocation
    from support.reference.partition import Partition


def check(invocation: Invocation) -> None:
    """The id of a keyed invocation begins with its service and object."""
    key = invocation.object_key
    if key is not None and invocation.invocation_id.rpartition("~")[0] != f"{invocation.service}/{key}":
        raise Refused("invalid_invocation_id")


def promote(p: Partition) -> None:
    """Each object that the command has touched is looked at once, at its end.

    What no slice holds any longer may be started before the page comes that releases it: that is the engine's choice.
    """
    started = {each.seq for each in p.seen.signals if each.kind is SignalKind.START}
    p.touched += [row.invoke.invocation for row in p.rows.values() if row.held and row.seq in started and p.releasing]
    for invocation in {(each.service, each.object_key): each for each in p.touched}.values():
        _promote(p, invocation)


def _promote(p: Partition, invocation: Invocation) -> None:
    """The head of the inbox is started if none of the object is; not what a batch is about to end."""
    if invocation.object_key is None:
        return
    mates = [
        row
        for row in p.in_order()
        if row.invoke.invocation.service == invocation.service
        and row.invoke.invocation.object_key == invocation.object_key
    ]
    inbox = [row for row in mates if row.status is Status.PENDING]
    if any(row.started for row in mates) or not inbox:
        return
    head = inbox[0]
    if slices.guarded(p, head):
        slices.hold(p, head)
    else:
        rows.start(p, head)
