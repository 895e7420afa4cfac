"""The lead of a batch: hands out slices, control, shares of limit and rate, and knows how far the batch has come."""

from __future__ import annotations

from math import inf, isclose
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.model import ENGINE_VERSION, Cause, ControlOperation, ControlSlice, SliceOperation, SlicePhase, StartSlice
from support.reference import standing
from support.reference.filters import refused
from support.reference.partition import Refused
from support.reference.rows import DAY_MS, GRACE_MS
from support.reference.state import Lead

if TYPE_CHECKING:
    from streams.model import ControlBatch, Filter, SliceReport, StartBatch
    from support.reference.partition import Partition

_ORDER = (None, SlicePhase.STARTED, SlicePhase.PAGES_DONE, SlicePhase.DRAINED)


def start_batch(p: Partition, command: StartBatch) -> None:
    """Remembered, and a slice handed to every partition; refused ones are remembered as REJECTED."""
    known = p.leads.get(command.batch_id)
    if known is not None:
        if known.start != command:
            raise Refused("batch_id_conflict")
        return
    too_late = command.expires_at is not None and command.expires_at <= p.clock
    if too_late or _breaks_a_rule(p, command):
        p.leads[command.batch_id] = Lead(command, "refused", {}, command.max_rate, p.clock)
        return
    phases: dict[int, SlicePhase | None] = dict.fromkeys(range(p.partitions))
    lead = Lead(command, None, phases, command.max_rate, p.clock)
    p.leads[command.batch_id] = lead
    for partition in phases:
        p.append(partition, _slice(p, command, partition))
    for partition, chosen in p.chosen(StartSlice, command.batch_id):
        lead.budgets[partition], lead.shares[partition] = chosen.budget, chosen.max_rate
    _check_shares(p, lead)


def _breaks_a_rule(p: Partition, command: StartBatch) -> bool:
    return (
        refused(command.filter, command.action)
        or standing.refused(p, command)
        or (command.grace_ms is not None and not 0 <= command.grace_ms <= DAY_MS)
        or (command.limit is not None and command.limit < 1)
        or (command.max_rate is not None and not 0 < command.max_rate < inf)
    )


def _slice(p: Partition, command: StartBatch, partition: int) -> StartSlice:
    """Without budget and rate, which are the lead's choice."""
    return StartSlice(
        ENGINE_VERSION,
        partition,
        command.batch_id,
        p.number,
        command.action,
        _part_of(p, command.filter, partition),
        command.dry_run,
        GRACE_MS if command.grace_ms is None else command.grace_ms,
        command.on_timeout,
        Cause(command.batch_id, None, command.actor, command.reason),
        standing_until=None if command.dry_run else command.standing_until,
    )


def _part_of(p: Partition, wanted: Filter, partition: int) -> Filter:
    ids = wanted.invocation_ids
    if ids is None:
        return wanted
    return replace(wanted, invocation_ids=tuple(each for each in sorted(set(ids)) if p.home(each) == partition))


# --- control ----------------------------------------------------------------------------------------------------


def control_batch(p: Partition, command: ControlBatch) -> None:
    """Acts on what has pages to come; one whose number does not rise is ignored."""
    sets_rate = command.operation is ControlOperation.SET_RATE
    if sets_rate != (command.max_rate is not None) or not 0 < (command.max_rate or 1) < inf:
        raise Refused("invalid_max_rate")
    lead = p.leads.get(command.batch_id)
    if lead is None:
        raise Refused("unknown_batch")
    if not lead.unfinished or lead.aborting or _late(lead, command.control_no):
        return
    if sets_rate and lead.stands:
        raise Refused("invalid_max_rate")
    lead.updated_at = p.clock
    lead.control_no = lead.control_no if command.control_no is None else command.control_no
    match command.operation:
        case ControlOperation.PAUSE:
            lead.paused = True
            _to_unfinished(p, lead, SliceOperation.PAUSE)
        case ControlOperation.RESUME:
            lead.paused = False
            _to_unfinished(p, lead, SliceOperation.RESUME)
        case ControlOperation.ABORT:
            abort(p, lead, None)
        case ControlOperation.SET_RATE:
            lead.max_rate = command.max_rate
            _take_choices(p, lead)


def _late(lead: Lead, control_no: int | None) -> bool:
    return control_no is not None and lead.control_no is not None and control_no <= lead.control_no


def abort(p: Partition, lead: Lead, error: str | None) -> None:
    """No more pages; what is being cancelled is waited for."""
    lead.aborting, lead.paused, lead.error, lead.updated_at = True, False, error, p.clock
    _to_unfinished(p, lead, SliceOperation.ABORT)


def lapse(p: Partition, lead: Lead) -> None:
    """Its time has come: the rule is lifted, or all of it aborted."""
    if lead.due_at != lead.start.standing_until or not lead.stands:
        abort(p, lead, "expired")
        return
    lead.lifted, lead.updated_at = True, p.clock
    _to_unfinished(p, lead, SliceOperation.LIFT)


def _to_unfinished(p: Partition, lead: Lead, operation: SliceOperation) -> None:
    for partition in lead.unfinished:
        p.append(partition, ControlSlice(ENGINE_VERSION, partition, lead.start.batch_id, operation))


def forget(p: Partition, lead: Lead) -> None:
    """A finished batch is forgotten as a whole."""
    for partition in range(p.partitions):
        p.append(partition, ControlSlice(ENGINE_VERSION, partition, lead.start.batch_id, SliceOperation.FORGET))
    del p.leads[lead.start.batch_id]


# --- reports of slices ------------------------------------------------------------------------------------------


def slice_report(p: Partition, command: SliceReport) -> None:
    """A slice has come further."""
    lead = p.leads.get(command.batch_id)
    if lead is None or not lead.phases:
        # A refused batch has no slices: the report is of an earlier batch of that name, long forgotten.
        return
    place = command.slice_partition
    if _ORDER.index(command.phase) <= _ORDER.index(lead.phases[place]):
        return
    was_unfinished = place in lead.unfinished
    lead.phases[place] = command.phase
    lead.aborted = lead.aborted or command.aborted
    lead.updated_at = p.clock
    if was_unfinished and place not in lead.unfinished:
        lead.acted[place] = command.acted
    _take_choices(p, lead)


def _take_choices(p: Partition, lead: Lead) -> None:
    """Shares of limit and rate are the lead's to give, within what was asked for."""
    for partition, command in p.chosen(ControlSlice, lead.start.batch_id):
        if command.operation is SliceOperation.GRANT:
            lead.budgets[partition] = command.budget
        elif command.operation is SliceOperation.SET_RATE:
            lead.shares[partition] = command.max_rate
        else:
            continue
        p.append(partition, command)
        if partition not in lead.unfinished:
            p.wrong(f"{lead.start.batch_id}: {command.operation} to {partition}, which has no pages to come")
    _check_shares(p, lead)


def _check_shares(p: Partition, lead: Lead) -> None:
    name, unfinished = lead.start.batch_id, lead.unfinished
    if lead.start.limit is not None and not lead.aborting:
        given = sum(lead.acted.values()) + sum(lead.budgets.get(each) or 0 for each in unfinished)
        if given > lead.start.limit or (unfinished and given < lead.start.limit):
            p.wrong(f"{name}: {given} of the limit of {lead.start.limit} are used or granted")
        holders = [each for each in unfinished if lead.budgets.get(each)]
        if len(holders) > 1:
            p.wrong(f"{name}: {holders} hold shares of the limit at once")
    if lead.max_rate is not None and unfinished and not lead.aborting:
        at_work = unfinished if lead.start.limit is None else [each for each in unfinished if lead.budgets.get(each)]
        shares = sum(lead.shares.get(each) or 0.0 for each in at_work)
        if at_work and not isclose(shares, lead.max_rate):
            p.wrong(f"{name}: shares of its rate sum to {shares}, not {lead.max_rate}")
