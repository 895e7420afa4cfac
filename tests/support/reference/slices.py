"""A partition's part of a batch: its cut-off, its pages, its counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.model import ENGINE_VERSION, Action, SliceOperation, SlicePhase, SliceReport, SliceState, Status
from support.reference import members, rows
from support.reference.filters import matches, seen
from support.reference.partition import never
from support.reference.state import Part
from support.reference.zones import last_of, looks_of_passed, passed, zone_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.model import ContinueSlice, ControlSlice, Ending, Filter, Invocation, StartSlice
    from support.reference.partition import Partition
    from support.reference.state import Row

MOST_SHOWN = 20
ROUNDING = 1e-6


def start_slice(p: Partition, command: StartSlice) -> None:
    """The offset of this command is the cut-off; one that is known already is left alone."""
    if command.batch_id in p.parts:
        return
    command = _as_objects_want(p, command)
    ids = command.filter.invocation_ids
    cursor, total = (-1, len(p.rows)) if ids is None else (0, len(ids))
    part = Part(command, p.offset, total, cursor, command.budget, command.max_rate)
    part.standing = command.standing_until is not None
    p.parts[command.batch_id] = part
    tell(p, part, SlicePhase.STARTED)
    pace(p, part)
    p.keep_turning()


def _as_objects_want(p: Partition, command: StartSlice) -> StartSlice:
    """What starts rows of objects by their ids takes them in order: an object's first invocation starts first."""
    ids = command.filter.invocation_ids or ()
    if command.action not in {Action.RESUME, Action.RESTART} or not any("~" in each for each in ids):
        return command
    known = [row.invocation_id for row in p.in_order() if row.invocation_id in ids]
    ids = (*known, *(each for each in ids if each not in known))
    return replace(command, filter=replace(command.filter, invocation_ids=ids))


def control_slice(p: Partition, command: ControlSlice) -> None:
    """Between pages; a slice whose pages are over can only be forgotten."""
    part = p.parts.get(command.batch_id)
    if part is None:
        return
    if command.operation is SliceOperation.FORGET:
        del p.parts[command.batch_id]
        return
    if part.over:
        return
    _allow(p, part)
    _change(p, part, command)
    pace(p, part)
    p.keep_turning()


def _change(p: Partition, part: Part, command: ControlSlice) -> None:
    match command.operation:
        case SliceOperation.PAUSE | SliceOperation.RESUME:
            part.paused = command.operation is SliceOperation.PAUSE
        case SliceOperation.SET_RATE:
            part.max_rate = command.max_rate
        case SliceOperation.ABORT:
            part.aborted, part.standing = True, False
            pages_over(p, part)
        case SliceOperation.LIFT:
            part.standing = False
            if part.pages_done:
                pages_over(p, part)
        case SliceOperation.GRANT:
            part.budget = part.acted + (command.budget or 0)
            if command.budget == 0:
                pages_over(p, part)
        case _:
            never(f"{command.operation} changes no slice")


def pace(p: Partition, part: Part) -> None:
    """When its rate lets it go on: the protocol leaves it open, so the engine's choice is taken, if it is one."""
    found = p.seen.slice(part.start.batch_id)
    due_at = None if found is None else found.due_at
    if due_at is not None and (part.max_rate is None or part.state is not SliceState.RUNNING):
        p.wrong(f"{part.start.batch_id} waits until {due_at}, though it is {part.state} at rate {part.max_rate}")
    part.due_at = due_at


def _allow(p: Partition, part: Part) -> None:
    """What the rate lets it act on: at most a second's rows, or one, at once, and then `max_rate` a second."""
    if part.max_rate is None:
        return
    most = max(part.max_rate, 1.0)
    earned = (p.clock - part.allowed_at) * part.max_rate / 1_000
    part.allowed, part.allowed_at = most if part.allowed is None else min(most, part.allowed + earned), p.clock


# --- a page -----------------------------------------------------------------------------------------------------


def continue_slice(p: Partition, command: ContinueSlice) -> None:
    """The outstanding page; any other is a no-op. Its successor names the next slice in rotation."""
    if not p.outstanding or command.page != p.page:
        return
    part = p.parts.get(command.batch_id)
    if part is None or not part.takes_turns:
        p.turn_page([*p.taking_turns(), *p.flows_taking_turns()])
        return
    _allow(p, part)
    acted = part.acted
    _page(p, part, command)
    if part.allowed is not None:
        part.allowed -= part.acted - acted
        if part.allowed < -ROUNDING:
            p.wrong(f"{command.batch_id} acts on {part.acted - acted} rows, {-part.allowed} more than its rate allows")
    pace(p, part)
    taking = p.taking_turns()
    later: list[str] = [batch_id for batch_id in taking if p.parts[batch_id].cutoff > part.cutoff]
    p.turn_page([*(later or taking)[:1], *p.flows_taking_turns()])


def _page(p: Partition, part: Part, command: ContinueSlice) -> None:
    todo = _candidates(p, part)
    stop = _chosen_stop(p, part)
    over = _passed(p, part)
    looks = matched = 0
    for position, row in todo:
        if position <= part.cursor:
            part.scanned += 1
            continue
        if max(looks - command.max_scanned, matched - command.max_matched) >= 0 or (
            stop is not None and position > stop
        ):
            break
        part.scanned += 1
        if row is not None and zone_of(row.seq) in over:
            part.cursor = last_of(zone_of(row.seq))
            looks += looks_of_passed()
            continue
        part.cursor = position
        looks += 1
        if row is not None and matches(part.start.filter, part.start.action, seen(row), part.cutoff):
            matched += 1
            _match(p, part, row)
    left = [position for position, _ in todo if position > part.cursor]
    if not left or (part.budget is not None and part.acted >= part.budget):
        pages_over(p, part)


def _passed(p: Partition, part: Part) -> set[int]:
    """The zones without a row that could match. Whoever names ids, flows or parents looks at these only."""
    wanted = part.start.filter
    if (wanted.invocation_ids, wanted.flow_ids, wanted.parent_ids) != (None, None, None):
        return set()
    rows = ((row.seq, row.invoke.invocation) for row in p.in_order())
    return passed(wanted, part.cursor, part.cutoff, rows)


def _candidates(p: Partition, part: Part) -> list[tuple[int, Row | None]]:
    """What is left to look at, by the position that the cursor has once it is."""
    ids = part.start.filter.invocation_ids
    if ids is not None:
        return [(place, p.rows.get(name)) for place, name in enumerate(ids, 1) if place > part.cursor]
    rows_ = [row for row in p.in_order() if part.cursor < row.seq < part.cutoff]
    return [(row.seq, row) for row in rows_ if _is_looked_at(part.start.filter, row.invoke.invocation)]


def _is_looked_at(wanted: Filter, invocation: Invocation) -> bool:
    """A filter by flows, or else by parents, pages over their members."""
    if wanted.flow_ids is not None:
        return invocation.flow_id in wanted.flow_ids
    return wanted.parent_ids is None or invocation.parent_id in wanted.parent_ids


def _chosen_stop(p: Partition, part: Part) -> int | None:
    """With a rate, a limit or a list of ids a page may end before its sizes say: where, is the engine's choice."""
    if part.max_rate is None and part.budget is None and part.start.filter.invocation_ids is None:
        return None
    found = p.seen.slice(part.start.batch_id)
    return None if found is None else found.cursor


def _match(p: Partition, part: Part, row: Row) -> None:
    dry_run = part.start.dry_run
    again = part.start.action is Action.CANCEL and rows.given_up(row)
    did = count(p, part, row, foretell if dry_run else rows.carry_out)
    if did and not dry_run and part.start.action in {Action.KILL, Action.CANCEL, Action.PAUSE}:
        row.paged_at = None if again else p.clock


def foretell(p: Partition, row: Row, action: Action, *rest: object) -> bool:
    """What a dry run does: nothing, but it says whether there were anything to do."""
    del rest
    return rows.concerns(p, row, action)


def count(p: Partition, part: Part, row: Row, act: Callable[..., bool]) -> bool:
    """The slice matches the row, and acts on it; whether there was anything to do."""
    start = part.start
    part.matched += 1
    if len(part.samples) < MOST_SHOWN:
        part.samples.append(row.invocation_id)
    acted = act(p, row, start.action, start.cause, start.grace_ms, start.on_timeout, start.batch_id)
    part.acted += acted
    if part.budget is not None and part.acted > part.budget:
        p.wrong(f"{start.batch_id} has acted on more than its share of the limit, {part.budget}")
    if not acted:
        part.skipped += 1
    elif row.status is Status.CANCELLING and start.action is Action.CANCEL and not start.dry_run:
        part.pending += 1
    else:
        part.done += 1
    return acted


def pages_over(p: Partition, part: Part) -> None:
    """No more pages; if no rule stands either the lead is told so, and that nothing is awaited if that is so."""
    if part.standing:
        part.pages_done = True
        return
    part.over, part.due_at = True, None
    tell(p, part, SlicePhase.PAGES_DONE if part.pending else SlicePhase.DRAINED)


def tell(p: Partition, part: Part, phase: SlicePhase) -> None:
    """Report to the lead."""
    start = part.start
    report = SliceReport(
        ENGINE_VERSION, start.lead, start.batch_id, p.number, phase, part.cutoff, part.acted, part.aborted
    )
    p.append(start.lead, report)


def settle(p: Partition, row: Row, asked: Ending | None, counter: str) -> None:
    """The row was being cancelled and is not any more: the batch that counts it moves it out of pending."""
    part = None if asked is None or asked.counted_by is None else p.parts.get(asked.counted_by)
    if part is None:
        return
    part.pending -= 1
    setattr(part, counter, getattr(part, counter) + 1)
    if counter == "failed" and len(part.failures) < MOST_SHOWN:
        part.failures.append(row.invocation_id)
    if part.over and not part.pending:
        tell(p, part, SlicePhase.DRAINED)


def guarded(p: Partition, row: Row) -> bool:
    """Whether a running CANCEL or KILL slice, or a cancelled flow, is about to end the row: then it is not started.

    Dry runs, limited and paused slices guard nothing.
    """
    return members.closed(p, row) is not None or about_to_end(p, row)


def about_to_end(p: Partition, row: Row) -> bool:
    """Whether a running CANCEL or KILL slice is."""
    return any(_guards(part, row) for part in p.parts.values())


def hold(p: Partition, row: Row) -> None:
    """It is not started. What a flow has shut out has no page that releases it: the flow ends it as it joins."""
    row.held, row.shut = True, members.closed(p, row) is not None


def _guards(part: Part, row: Row) -> bool:
    start = part.start
    if start.action not in {Action.KILL, Action.CANCEL} or start.dry_run or part.budget is not None:
        return False
    if (
        part.state is not SliceState.RUNNING
        or part.pages_done
        or not matches(start.filter, start.action, seen(row), part.cutoff)
    ):
        return False
    ids = start.filter.invocation_ids
    return (row.seq if ids is None else ids.index(row.invocation_id) + 1) > part.cursor
