"""One page of a slice: the rows it selects, its effects on them, and the next page."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import chain
from operator import attrgetter, sub
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from msgspec.structs import replace

from streams.engine.answers import PageQuery
from streams.engine.counters import STALE_PAGE
from streams.engine.effects import PutDelta, PutSlice, RemoveRow, SendAll, UpdateRow
from streams.engine.guards import Guards
from streams.engine.ledger import MAX_SAMPLES, Ledger
from streams.engine.lifecycle import ENDED_BY, VERDICTS, Verdict, next_repeat
from streams.engine.members import cancel_children, endings
from streams.engine.objects import promotions_within
from streams.engine.pace import paced, refilled, room, used_up
from streams.engine.release import let_go
from streams.engine.restarts import restart, restartable
from streams.engine.rotation import next_in_rotation, next_page, waiting_turns
from streams.engine.rows import asked_again
from streams.engine.slices import pages_over, report_of_end, takes_turns
from streams.engine.starts import resume
from streams.engine.validate import check_internal
from streams.engine.weights import limit_of, of_cause, of_flows, of_slice
from streams.model import (
    ENDING_ACTIONS,
    Action,
    Change,
    Ending,
    FlowAction,
    PageDelta,
    SignalKind,
    SliceState,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.engine.answers import At, Page, StartedRow
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import ContinueSlice, Row, Slice

_SEQ = attrgetter("seq")
_BY_STATUS_AND_BATCH = attrgetter("status", "counted_by")
_SHELVED: Final = frozenset(status for status, found in VERDICTS[Action.PAUSE].items() if found is Verdict.SHELVE)
_HALTED: Final = frozenset(status for status, found in VERDICTS[Action.PAUSE].items() if found is Verdict.HALT)
_ASKED: Final = frozenset(status for status, found in VERDICTS[Action.CANCEL].items() if found is Verdict.SKIP)


class _Plan(NamedTuple):
    """The plan of a page: how each matched row is treated.

    `done`, `asked`: rising seqs of rows on which the action takes effect at once, and of those whose executor is asked
    to end them. `signalled`: the rows of both kinds that take the action's own signal. `skipped`: how many rows have
    nothing done to them. `again`: rows whose executor is asked once more, after a grace that ended with LEAVE.
    """

    done: list[int]
    asked: list[int]
    signalled: list[StartedRow]
    skipped: int
    again: Sequence[Row] = ()


def continue_slice(command: ContinueSlice, at: At, view: View) -> list[Effect]:
    """Handle the outstanding page; a page already done is a no-op."""
    check_internal(command, at)
    meta = view.meta
    if not meta.page_outstanding or command.page != meta.page:
        return [STALE_PAGE]
    slice_ = view.slice(command.batch_id)
    if slice_ is None or not takes_turns(slice_):
        return next_page(next_in_rotation(command.batch_id, waiting_turns(view), goes_on=False), at, view)
    slice_ = refilled(slice_, at.now)
    size = command.max_matched
    while True:
        page, cursor, last = _select(slice_, replace(command, max_matched=size), view)
        guards = Guards(view)
        page = _without_guarded(slice_.action, page, guards, at)
        plan = _plan(slice_.action, page)
        if page.objects and slice_.action in ENDING_ACTIONS:
            guards = Guards(view, frozenset(chain(plan.done, plan.asked, map(_SEQ, plan.again))))
        elif slice_.action is Action.RESTART:
            guards = Guards(view, freed=frozenset(plan.done))
        # A page of one row may weigh anything: there must be progress.
        most = max(0, limit_of(command.max_bytes) - page.weight) if _matched(page) > 1 else None
        effects = [] if slice_.dry_run else _act(slice_, page, plan, at, view, guards, most)
        if effects is not None:
            break
        size = _matched(page) // 2
    moved = _advanced(slice_, page, plan, cursor, last, at)
    effects += [PutSlice(moved), *let_go(slice_, moved, at, view)]
    if moved.state is not SliceState.RUNNING:
        effects.append(report_of_end(moved, at))
    running = waiting_turns(view, effects)
    effects += next_page(next_in_rotation(command.batch_id, running, takes_turns(moved)), at, view)
    return effects


def _select(slice_: Slice, command: ContinueSlice, view: View) -> tuple[Page, int, bool]:
    """The page, the cursor after it, and whether it is the last page."""
    most = room(slice_, command.max_matched)
    query = PageQuery(
        filter=slice_.filter,
        action=slice_.action,
        cursor=slice_.cursor,
        cutoff=slice_.cutoff,
        max_scanned=command.max_scanned,
        max_matched=most,
        samples=MAX_SAMPLES - len(slice_.samples),
        max_bytes=limit_of(command.max_bytes),
        each=of_cause(slice_.cause),
    )
    ids = slice_.filter.invocation_ids
    if ids is None:
        page = view.select(query)
        return page, page.cursor, page.last
    # The chunk replaces the filter's ids, which need not be searched again.
    query = replace(query, filter=replace(slice_.filter, invocation_ids=None))
    size = min(command.max_scanned, command.max_matched)
    while True:
        chunk = ids[slice_.cursor : slice_.cursor + size]
        page = view.select(replace(query, ids=chunk))
        # Most ids may match nothing: only a chunk that turns out to hold too much is cut.
        if page.weight > query.max_bytes and len(chunk) > 1:
            size = len(chunk) // 2
        elif _matched(page) > most:
            size = max(most, size // 2)
        else:
            break
    cursor = slice_.cursor + len(chunk)
    return replace(page, scanned=len(chunk), looks=len(chunk)), cursor, cursor == len(ids)


def _without_guarded(action: Action, page: Page, guards: Guards, at: At) -> Page:
    """The page without the rows that stay as they are: those that something guards, or that cannot start here."""
    match action:
        case Action.RESUME:
            return replace(page, rows=tuple(row for row in page.rows if not guards.against(row)))
        case Action.RESTART:
            return replace(page, rows=tuple(row for row in page.rows if restartable(row, at, guards)))
        case _:
            return page


def _plan(action: Action, page: Page) -> _Plan:
    match action:
        case Action.PAUSE:
            halted = [row for row in page.started if row.status in _HALTED]
            shelved = chain.from_iterable(seqs for status, seqs in page.unstarted.items() if status in _SHELVED)
            done = sorted(chain(shelved, map(_SEQ, halted), map(_SEQ, page.rows)))
            return _Plan(done, [], halted, _matched(page) - len(done))
        case Action.RESUME | Action.RESTART | Action.PURGE:
            return _Plan(list(map(_SEQ, page.rows)), [], [], _matched(page) - len(page.rows))
    never_started = chain.from_iterable(page.unstarted.values())
    if action is Action.KILL:
        return _Plan(sorted(chain(never_started, map(_SEQ, page.started))), [], page.started, 0)
    asked = [row for row in page.started if row.status not in _ASKED]
    skipped = len(page.started) - len(asked) - len(page.rows)
    return _Plan(sorted(never_started), list(map(_SEQ, asked)), asked, skipped, page.rows)


def _matched(page: Page) -> int:
    """Number of matched rows of the page."""
    return sum(map(len, page.unstarted.values())) + len(page.started)


def _act(
    slice_: Slice, page: Page, plan: _Plan, at: At, view: View, guards: Guards, most: int | None
) -> list[Effect] | None:
    """The effects of the page: one delta for all rows, or row by row where each row needs its own record anyway.

    At the end, each object that the page touched is looked at once. That its own slice still guards does no harm:
    behind the page, no matching row is left.

    Returns:
        None if the rows that start in consequence weigh more than `most` bytes.
    """
    gone: frozenset[int] = frozenset()
    match slice_.action:
        case Action.KILL | Action.CANCEL:
            effects = _end(slice_, page, plan, at, view)
            effects += _of_flows(slice_, page, plan, at, view)
            if page.objects:
                gone = frozenset(plan.done)
        case Action.PAUSE:
            effects = _pause(slice_, page, plan, at)
            if page.objects:
                gone = frozenset(chain.from_iterable(page.unstarted.get(status, ()) for status in _SHELVED))
        case Action.RESUME:
            effects = [effect for row in page.rows for effect in resume(row, at, view, guards)]
        case Action.RESTART:
            effects = restart(page.rows, at, view)
        case Action.PURGE:
            return [RemoveRow(row.seq, row.invocation_id) for row in page.rows]
        case _:
            assert_never(slice_.action)
    if most is not None:
        most -= sum(of_slice(effect.slice) for effect in effects if isinstance(effect, PutSlice))
        most -= of_flows(effects)
        if most < 0:
            return None
    touched = effects if slice_.action in {Action.RESUME, Action.RESTART} else ()
    promoted = promotions_within(most, touched, at, view, guards, page.objects, gone)
    return None if promoted is None else effects + promoted


def _pause(slice_: Slice, page: Page, plan: _Plan, at: At) -> list[Effect]:
    """One delta for all rows and a signal for each started one. Rows held by an older engine lose that mark."""
    places: defaultdict[Status, list[int]] = defaultdict(list)
    for status, seqs in page.unstarted.items():
        if status in _SHELVED:
            places[status] = seqs
    for row in plan.signalled:
        places[row.status].append(row.seq)
    unmarked: list[Effect] = [UpdateRow(replace(row, held=False)) for row in page.rows]
    if not places:
        return unmarked
    changes = tuple(Change(Status.PAUSED, status, seqs=differences(seqs)) for status, seqs in places.items())
    left = {status: len(seqs) for status, seqs in places.items()}
    effects: list[Effect] = [PutDelta(PageDelta(at.now, None, changes), left)]
    if plan.signalled:
        effects.append(SendAll(SignalKind.PAUSE, plan.signalled, at.now, slice_.cause))
    return effects + unmarked


def _end(slice_: Slice, page: Page, plan: _Plan, at: At, view: View) -> list[Effect]:
    """One delta for all rows, a signal for each started one, and the counts of batches that lose rows by it."""
    effects: list[Effect] = []
    signalled = Counter(map(_BY_STATUS_AND_BATCH, plan.signalled))
    grace_until = at.now + slice_.grace_ms
    changes = []
    if plan.done:
        changes.append(Change(ENDED_BY[slice_.action], seqs=differences(plan.done)))
    if plan.asked:
        due_at = next_repeat(at.now, 0, grace_until)
        changes.append(Change(Status.CANCELLING, due_at=due_at, seqs=differences(plan.asked)))
    if changes:
        ending = Ending(slice_.cause)
        if plan.asked:
            ending = Ending(slice_.cause, slice_.on_timeout, grace_until, counted_by=slice_.batch_id)
        effects.append(PutDelta(PageDelta(at.now, ending, tuple(changes)), _left(page, signalled)))
    kind = SignalKind.KILL if slice_.action is Action.KILL else SignalKind.CANCEL
    if plan.signalled:
        effects.append(SendAll(kind, plan.signalled, at.now, slice_.cause))
    for row in plan.again:
        effects += asked_again(row, slice_.cause, slice_.on_timeout, slice_.grace_ms, at, slice_.batch_id)
    ledger = Ledger(at, view)
    for (status, batch_id), rows in signalled.items():
        if status is Status.CANCELLING and batch_id is not None:
            ledger.settle(batch_id, "skipped", rows)
    return effects + ledger.effects()


def _of_flows(slice_: Slice, page: Page, plan: _Plan, at: At, view: View) -> list[Effect]:
    """What the page means for flows: members that have ended, and parents whose children are cancelled with them."""
    effects: list[Effect] = []
    if page.grouped:
        ended = set(plan.done)
        effects += endings([each for each in page.grouped if each.seq in ended], at, view)
    if page.parents:
        hit = {*plan.done, *plan.asked, *map(_SEQ, plan.again)}
        action = FlowAction(slice_.action.value)
        for seq, invocation_id in page.parents:
            if seq in hit:
                effects += cancel_children(
                    invocation_id, action, slice_.grace_ms, slice_.on_timeout, slice_.cause, at, view
                )
    return effects


def differences(seqs: list[int]) -> tuple[int, ...]:
    """The first number, then the difference of each one from its predecessor."""
    return (seqs[0], *map(sub, seqs[1:], seqs))


def _left(page: Page, signalled: Counter[tuple[Status, str | None]]) -> dict[Status, int]:
    """Number of changed rows by their former status; `signalled`: status and `counted_by` of the started ones."""
    left: Counter[Status] = Counter()
    for (status, _), rows in signalled.items():
        left[status] += rows
    for status, seqs in page.unstarted.items():
        left[status] += len(seqs)
    return {status: count for status, count in left.items() if count}


def _advanced(slice_: Slice, page: Page, plan: _Plan, cursor: int, last: bool, at: At) -> Slice:  # noqa: FBT001
    """The slice with the page added to its counters."""
    done, pending = len(plan.done), len(plan.asked) + len(plan.again)
    acted = done + pending
    if slice_.dry_run:
        done, pending = acted, 0
    moved = replace(
        slice_,
        cursor=cursor,
        scanned=slice_.scanned + page.scanned,
        matched=slice_.matched + acted + plan.skipped,
        done=slice_.done + done,
        pending=slice_.pending + pending,
        skipped=slice_.skipped + plan.skipped,
        samples=(slice_.samples + tuple(page.samples))[:MAX_SAMPLES],
        revision=at.offset,
        updated_at=at.now,
        acted=slice_.acted + acted,
        tokens=slice_.tokens if slice_.max_rate is None else slice_.tokens - acted,
    )
    return pages_over(moved) if last or used_up(moved) else paced(moved, at.now)
