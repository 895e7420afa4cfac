"""Flows and members that the engine remembers, held against the model's; and at rest, against the members' rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.model import CancelPolicy, Flow, FlowAction, FlowProgress, FlowState, Member, MemberState
from support.reference import members
from support.reference.beside import check

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from support.reference import state
    from support.reference.partition import Partition
    from support.reference.state import FlowName, Place

MOST_SHOWN = 20
_SAME = ("action", "policy", "escalated_by", "due_at", "created_at")


def table(model: Partition, dump: Mapping[str, bytes]) -> None:
    """Flows and entries."""
    flows = {_name(key): check.decode(value) for key, value in dump.items() if key.startswith("f/")}
    check.same("flows", {n: _flow(f) for n, f in flows.items()}, {n: _facts(f) for n, f in model.flows.items()})
    entries = {key[2:]: check.decode(value) for key, value in dump.items() if key.startswith("g/")}
    check.same("members", {key: _entry(each, flows[_flow_of(key)]) for key, each in entries.items()}, _entries(model))


def _name(key: str) -> FlowName:
    return key[2] == "c", key[4:]


def _flow(found: object) -> dict[str, object]:
    assert isinstance(found, Flow)
    facts: dict[str, object] = {name: getattr(found, name) for name in (*_SAME, "live", "pending", "ended", "kept")}
    if found.action is not None:
        facts |= {"cause": found.cause, "on_timeout": found.on_timeout}
    if found.action is FlowAction.CANCEL:
        facts["grace_ms"] = found.grace_ms
    if not found.live + found.pending + found.kept + found.failed:
        facts["updated_at"] = found.updated_at
    return facts | {"failed": found.failed, "failures": sorted(found.failures)}


def _facts(flow: state.Flow) -> dict[str, object]:
    facts = {name: getattr(flow, name) for name in _SAME} | flow.numbers
    if flow.action is not None:
        facts |= {"cause": flow.cause, "on_timeout": flow.on_timeout}
    if flow.action is FlowAction.CANCEL:
        facts["grace_ms"] = flow.grace_ms
    if not flow.members:
        facts["updated_at"] = flow.updated_at
    failures = [member.invocation_id for member in flow.members.values() if flow.counts_as(member) == "failed"]
    return facts | {"failures": sorted(map(str, failures))[:MOST_SHOWN]}


def _flow_of(entry: str) -> FlowName:
    return _name("f/" + entry.rsplit("/", 2)[0])


def _entry(found: object, flow: object) -> tuple[object, ...]:
    """What an entry says; nothing, if it is from before the flow was opened again, or has failed another's cancel."""
    assert isinstance(found, Member)
    assert isinstance(flow, Flow)
    old = found.round <= flow.reopened or (found.state is MemberState.FAILED and found.round < flow.round)
    state = MemberState.JOINED if old else found.state
    return state, found.labels, found.invocation_id if state is MemberState.FAILED else None, found.restarted_seq


def _member(member: state.Member) -> tuple[object, ...]:
    state = MemberState.JOINED if member.state is MemberState.FAILED and member.to_ask else member.state
    return state, member.labels, member.invocation_id if state is MemberState.FAILED else None, member.since


def _entries(model: Partition) -> dict[str, tuple[object, ...]]:
    return {
        f"{'nc'[children]}/{name}/{partition}/{seq}": _member(member)
        for (children, name), flow in model.flows.items()
        for (partition, seq), member in flow.members.items()
    }


def at_rest(models: Sequence[Partition]) -> None:
    """Every flow has the members that live; whom its cancel reaches lives on only if it failed or was restarted."""
    living: dict[FlowName, dict[Place, state.Row]] = {}
    for model in models:
        for row in model.rows.values():
            for name in members.names(row):
                if not row.ended:
                    living.setdefault(name, {})[model.number, row.seq] = row
    known = {name: flow for model in models for name, flow in model.flows.items()}
    check.same("flows with members", sorted(living), sorted(name for name, flow in known.items() if flow.members))
    for name, rows in living.items():
        flow = known[name]
        check.same(f"members of {name}", sorted(flow.members), sorted(rows))
        for place, row in rows.items():
            spared = flow.members[place].state in {MemberState.FAILED, MemberState.RESTARTED}
            lives_on = flow.policy is CancelPolicy.CANCEL_ALL or (
                flow.policy is CancelPolicy.CANCEL_PENDING and not row.started
            )
            if lives_on and not spared:
                raise check.Difference(f"{name} was cancelled, and {row.invocation_id} is {row.status}")


def published(records: Sequence[tuple[str, bytes | None]]) -> dict[str, FlowProgress]:
    """The newest record of each flow; every record adds up, and revisions never fall."""
    latest: dict[str, FlowProgress] = {}
    for key, value in records:
        record = None if value is None else check.decode(value)
        if record is None:
            latest.pop(key, None)
            continue
        assert isinstance(record, FlowProgress)
        parts = record.live + record.pending + record.ended + record.kept + record.failed
        check.same(f"{key} adds up", record.members, parts)
        check.same(f"backlog of {key}", record.backlog, record.pending > 0)
        if key in latest and record.revision < latest[key].revision:
            raise check.Difference(f"{key} falls back from {latest[key].revision} to {record.revision}")
        latest[key] = record
    return latest


def newest(latest: Mapping[str, FlowProgress], models: Sequence[Partition], held_back: Container[str]) -> None:
    """Named flows are published as they are, but for those whose newest state came too soon after another."""
    known = {name: flow for model in models for (children, name), flow in model.flows.items() if not children}
    for name in sorted(known.keys() | latest.keys()):
        if name in held_back:
            continue
        flow, record = known.get(name), latest.get(name)
        if flow is None or record is None:
            raise check.Difference(f"flow {name}: {record} is published, the model has {flow}")
        check.same(f"published {name}", _shown(record), _of_model(flow))


def _shown(record: FlowProgress) -> dict[str, object]:
    names = ("action", "policy", "escalated_by", "live", "pending", "ended", "kept", "failed", "state", "next_due_at")
    return {name: getattr(record, name) for name in names} | {"reason": record.reason, "actor": record.actor}


def _of_model(flow: state.Flow) -> dict[str, object]:
    numbers = flow.numbers
    said = FlowState.PARTIALLY_CANCELLED if numbers["failed"] else FlowState.CANCELLED
    said = FlowState.CANCELLING if numbers["pending"] else said
    facts: dict[str, object] = {"action": flow.action, "policy": flow.policy, "escalated_by": flow.escalated_by}
    facts |= numbers | {"state": said if flow.action else FlowState.OPEN, "next_due_at": flow.due_at}
    return facts | {"reason": flow.cause.reason, "actor": flow.cause.actor}
