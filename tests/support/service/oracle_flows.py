"""What must be true of flows after a run, from the records of `commands`, `changelog`, `signals` and `flows` alone.

A test must have let everything come to rest: orders answered, graces over.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from streams import codec
from streams.model import (
    CancelFlow,
    CancelPolicy,
    Cause,
    Flow,
    FlowProgress,
    FlowState,
    InvocationRow,
    Invoke,
    JoinFlow,
    Member,
    MemberState,
    PageDelta,
    Signal,
    Status,
)
from support.service.oracle import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from support.kafka.reading import Entry
    from support.service.oracle import Folded, Place

FlowName = tuple[bool, str]
"""(is it of an invocation's children?, its id)."""

_UNSTARTED = frozenset({Status.SCHEDULED, Status.PENDING})
_ENDED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.KILLED})
_DAY_MS = 24 * 3_600_000


@dataclass
class Flows:
    """Flows and entries as the changelog tells them; `rows` by place, and by place what ended or is ending each.

    `home`: the partition of each flow.
    """

    rows: dict[Place, Folded]
    causes: dict[Place, Cause] = field(default_factory=dict)
    flows: dict[FlowName, Flow] = field(default_factory=dict)
    home: dict[FlowName, int] = field(default_factory=dict)
    entries: defaultdict[FlowName, dict[Place, Member]] = field(default_factory=lambda: defaultdict(dict))

    def living(self, name: FlowName) -> dict[Place, Folded]:
        """The rows of its members that have not ended."""
        return self._living.get(name, {})

    @cached_property
    def _living(self) -> dict[FlowName, dict[Place, Folded]]:
        found: defaultdict[FlowName, dict[Place, Folded]] = defaultdict(dict)
        for place, row in self.rows.items():
            if row.status not in _ENDED:
                for name in _flows_of(row):
                    found[name][place] = row
        return found


def _flows_of(row: Folded) -> list[FlowName]:
    of = row.invocation
    return [(children, name) for children, name in ((False, of.flow_id), (True, of.parent_id)) if name is not None]


def fold_flows(changelog: Sequence[Entry]) -> Flows:
    """The changelog read in order."""
    found = Flows(fold(changelog).rows)
    for entry in changelog:
        kind, _, name = entry.key.partition("/")
        record = None if entry.value is None else codec.decode(entry.value)
        match kind, record:
            case "i", InvocationRow():
                _cause(found, (entry.partition, record.seq), record.ending.cause if record.ending else None)
            case "d", PageDelta():
                for change in record.changes:
                    seq = 0
                    for distance in change.seqs:
                        seq += distance
                        _cause(found, (entry.partition, seq), record.ending.cause if record.ending else None)
            case "f", _:
                flow = name[0] == "c", name[2:]
                found.flows.pop(flow, None)
                if isinstance(record, Flow):
                    found.flows[flow], found.home[flow] = record, entry.partition
            case "g", _:
                flow_id, *place = name[2:].rsplit("/", 2)
                partition, member_seq = map(int, place)
                found.entries[name[0] == "c", flow_id].pop((partition, member_seq), None)
                if isinstance(record, Member):
                    found.entries[name[0] == "c", flow_id][partition, member_seq] = record
    return found


def _cause(found: Flows, place: Place, cause: Cause | None) -> None:
    found.causes.pop(place, None)
    if cause is not None:
        found.causes[place] = cause


# --- what must be true --------------------------------------------------------------------------------------------


def check_flows(
    log: Sequence[Entry], changelog: Sequence[Entry], signals: Sequence[Entry], published: Sequence[Entry]
) -> Flows:
    """Everything below."""
    found = fold_flows(changelog)
    check_members(found)
    check_reach(found)
    check_ended(found, log)
    check_reasons(found, log, signals)
    latest = check_flow_progress(published)
    for (children, name), flow in found.flows.items():
        if not children:
            assert _numbers(latest[name]) == _numbers(flow), f"{name}: published {latest[name]}, kept {flow}"
    assert latest.keys() == {name for children, name in found.flows if not children}
    return found


def check_members(found: Flows) -> None:
    """A flow's entries are its members' rows that live, and its numbers count them."""
    names = found.flows.keys() | {name for row in found.rows.values() for name in _flows_of(row)}
    for name in names | found.entries.keys():
        entries, living = found.entries[name], found.living(name)
        assert entries.keys() == living.keys(), f"{name}: entries {set(entries)}, rows that live {set(living)}"
        flow = found.flows.get(name)
        assert flow is not None or not living, f"{name} is not known, {set(living)} live"
        if flow is not None:
            assert flow.live + flow.pending + flow.kept + flow.failed == len(living), f"{flow}, {set(living)} live"
            failed = sum(entry.state is MemberState.FAILED for entry in entries.values())
            assert flow.action is None or flow.failed <= failed, f"{flow}: {failed} have failed"


def check_reach(found: Flows) -> None:
    """Every member that the policy reaches has ended or is failed, and the flow waits for nobody."""
    for name, flow in found.flows.items():
        assert not flow.pending, f"{name} still waits: {flow}"
        assert flow.due_at is None, f"{name} is in the backlog: {flow}"
        if flow.policy in {None, CancelPolicy.FLOW_ONLY}:
            continue
        for place, row in found.living(name).items():
            started = (row.paused_from or row.status) not in _UNSTARTED
            kept = flow.policy is CancelPolicy.CANCEL_PENDING and started
            state = found.entries[name][place].state
            assert kept or state in {MemberState.FAILED, MemberState.RESTARTED}, (
                f"{name} was cancelled, {row.invocation.invocation_id} is {row.status}"
            )


def check_ended(found: Flows, log: Sequence[Entry]) -> None:
    """Each life of a member of a named flow is counted once: who joined, and who was ended at the door of its flow."""
    lives: Counter[str] = Counter()
    joined: defaultdict[str, set[Place]] = defaultdict(set)
    here: defaultdict[str, set[Place]] = defaultdict(set)
    for entry in log:
        match _decode(entry):
            case JoinFlow(children=False) as command:
                lives[command.flow_id] += len(command.seqs)
                joined[command.flow_id] |= {(command.member_partition, seq) for seq in command.seqs}
            case Invoke() as command if command.invocation.flow_id is not None:
                if found.home.get((False, command.invocation.flow_id)) == entry.partition:
                    here[command.invocation.flow_id].add((entry.partition, entry.offset))
            case _:
                pass
    for (children, name), flow in found.flows.items():
        if children:
            continue
        arrived = here[name] - joined[name]
        certain = {place for place in arrived & found.rows.keys() if _at_the_door(found, place, name)}
        # Of rows that were removed nobody can say what ended them.
        perhaps = {place for place in arrived if place not in found.rows or _of_both(found.rows[place], name)}
        least = lives[name] + len(certain - joined[name]) - len(found.entries[False, name])
        assert least <= flow.ended <= least + len(perhaps), f"{flow}: {least} to {least + len(perhaps)} have ended"


def _at_the_door(found: Flows, place: Place, name: str) -> bool:
    cause = found.causes.get(place, Cause())
    return cause.flow_id == name and cause.batch_id is None and not _of_both(found.rows[place], name)


def _of_both(row: Folded, name: str) -> bool:
    return row.invocation.parent_id == name


def check_reasons(found: Flows, log: Sequence[Entry], signals: Sequence[Entry]) -> None:
    """What a flow has ended says the reason and the actor of its first cancel, in the row as in each signal."""
    first: dict[str, tuple[str, str | None]] = {}
    for entry in log:
        command = _decode(entry)
        if isinstance(command, CancelFlow) and not command.children and 0 <= (command.grace_ms or 0) <= _DAY_MS:
            first.setdefault(command.flow_id, (command.reason or "flow_cancelled", command.actor))
    told = [(row.invocation, found.causes.get(place)) for place, row in found.rows.items()]
    for entry in signals:
        signal = _decode(entry)
        assert isinstance(signal, Signal), f"signals hold {signal!r}"
        told.append((signal.invocation, signal.cause))
    for invocation, cause in told:
        name = None if cause is None else cause.flow_id
        if cause is not None and name is not None and name == invocation.flow_id != invocation.parent_id:
            said = cause.reason, cause.actor
            assert said == first[name], f"{invocation.invocation_id}: {cause}, the flow has {first[name]}"
    for (children, name), flow in found.flows.items():
        if not children and flow.action is not None:
            assert (flow.cause.reason, flow.cause.actor) == first[name], f"{flow}, first {first[name]}"


def check_flow_progress(entries: Iterable[Entry]) -> dict[str, FlowProgress]:
    """Every record ever written adds up and says its state, and revisions never fall. Returns the newest ones."""
    latest: dict[str, FlowProgress] = {}
    for entry in entries:
        record = None if entry.value is None else codec.decode(entry.value)
        if record is None:
            latest.pop(entry.key, None)
            continue
        assert isinstance(record, FlowProgress), f"flows hold {record!r}"
        numbers = _numbers(record)
        assert record.members == sum(numbers.values()), f"{entry.key} at {entry.offset} does not add up: {record}"
        assert min(numbers.values()) >= 0, f"negative: {record}"
        assert record.state is _state(record), f"{record} is {_state(record)}"
        assert record.backlog == (record.pending > 0), f"backlog: {record}"
        before = latest.get(entry.key)
        assert before is None or before.revision <= record.revision, f"{entry.key} falls back to {record.revision}"
        latest[entry.key] = record
    return latest


def _numbers(flow: Flow | FlowProgress) -> Counter[str]:
    return Counter({name: getattr(flow, name) for name in ("live", "pending", "ended", "kept", "failed")})


def _state(record: FlowProgress) -> FlowState:
    if record.action is None:
        return FlowState.OPEN
    if record.pending:
        return FlowState.CANCELLING
    return FlowState.PARTIALLY_CANCELLED if record.failed else FlowState.CANCELLED


def _decode(entry: Entry) -> object:
    try:
        return codec.decode(entry.value)
    except codec.BadRecordError:
        return None
