"""One action on one invocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from msgspec.structs import replace

from streams.engine.counters import SKIPPED_ACT
from streams.engine.effects import RemoveRow, UpdateRow
from streams.engine.guards import Guards
from streams.engine.ledger import Ledger
from streams.engine.lifecycle import DEFAULT_GRACE_MS, ENDED_BY, Verdict, verdict
from streams.engine.objects import promotions
from streams.engine.restarts import restart, restartable
from streams.engine.rows import asked, asked_again, ended, paused, signal
from streams.engine.starts import resume
from streams.model import TERMINAL, Action, Ending, SignalKind, Status
from streams.protocol.validation import check_act

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import Act, Cause, Row


_ENDING: Final = frozenset({Verdict.END, Verdict.STOP, Verdict.ASK})


def act(command: Act, at: At, view: View) -> list[Effect]:
    """Act on one invocation. No batch counts the act, but a batch may lose the row to it."""
    check_act(command)
    row = view.row(command.invocation_id)
    if row is None or command.seq not in (None, row.seq) or (command.only_unstarted and row.started_seq is not None):
        return [SKIPPED_ACT]
    found = verdict(command.action, row)
    this = frozenset({row.seq})
    guards = Guards(
        view,
        ending=this if found in _ENDING else frozenset(),
        freed=this if found is Verdict.LIVE_AGAIN else frozenset(),
    )
    match found:
        case Verdict.SKIP:
            effects = _skip(row, command)
        case Verdict.END:
            effects = [UpdateRow(ended(row, ENDED_BY[command.action], at.now, Ending(command.cause)))]
        case Verdict.STOP:
            effects = _stop(row, command.cause, at, view)
        case Verdict.ASK:
            effects = _ask(row, command, at)
        case Verdict.SHELVE:
            effects = [UpdateRow(paused(row, at.now))]
        case Verdict.HALT:
            effects = [UpdateRow(paused(row, at.now)), signal(SignalKind.PAUSE, row, 0, at.now, command.cause)]
        case Verdict.GO_ON | Verdict.LIVE_AGAIN:
            effects = _go_on(row, at, view, guards)
        case Verdict.REMOVE:
            effects = [RemoveRow(row.seq, row.invocation_id)]
        case _:
            assert_never(found)
    return effects if row.object_key is None else effects + promotions(effects, at, view, guards)


def _skip(row: Row, command: Act) -> list[Effect]:
    """Nothing to do; but a PAUSE clears `held` of a paused row that an older engine held for its RESUME."""
    if command.action is Action.PAUSE and row.status is Status.PAUSED and row.held:
        return [UpdateRow(replace(row, held=False))]
    return [SKIPPED_ACT]


def _stop(row: Row, cause: Cause, at: At, view: View) -> list[Effect]:
    effects: list[Effect] = [UpdateRow(ended(row, Status.KILLED, at.now, Ending(cause)))]
    effects.append(signal(SignalKind.KILL, row, 0, at.now, cause))
    if row.status is Status.CANCELLING and row.ending is not None and row.ending.counted_by is not None:
        ledger = Ledger(at, view)
        ledger.settle(row.ending.counted_by, "skipped")
        effects += ledger.effects()
    return effects


def _go_on(row: Row, at: At, view: View, guards: Guards) -> list[Effect]:
    """Resume or restart the row, unless a slice is about to end it."""
    if row.status in TERMINAL:
        return restart([row], at, view) if restartable(row, at, guards) else [SKIPPED_ACT]
    return [SKIPPED_ACT] if guards.against(row) else resume(row, at, view, guards)


def _ask(row: Row, command: Act, at: At) -> list[Effect]:
    grace_ms = DEFAULT_GRACE_MS if command.grace_ms is None else command.grace_ms
    if row.status is Status.CANCELLING:
        return asked_again(row, command.cause, command.on_timeout, grace_ms, at)
    cancelling = asked(row, command.cause, command.on_timeout, grace_ms, at.now)
    return [UpdateRow(cancelling), signal(SignalKind.CANCEL, row, 0, at.now, command.cause)]
