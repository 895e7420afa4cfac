"""Virtual objects: one started invocation at a time each; the others wait in its inbox, in order of seq."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from streams.engine.effects import UpdateRow
from streams.engine.lifecycle import stands_at
from streams.engine.starts import start
from streams.model import STARTED, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from streams.engine.answers import At, Object
    from streams.engine.effects import Effect
    from streams.engine.guards import Guards
    from streams.engine.view import View
    from streams.model import Row

_SEQ = attrgetter("seq")


def object_of(row: Row) -> Object | None:
    """The object of the row; None for a row without one."""
    key = row.object_key
    if key is None:
        return None
    named = row.invocation_id.rpartition("~")[0]
    return named[: -len(key) - 1], key


def holds(row: Row) -> bool:
    """True if this row occupies its object."""
    return stands_at(row) in STARTED


def promotions(
    effects: Iterable[Effect], at: At, view: View, guards: Guards, objects: Sequence[Object] = ()
) -> list[Effect]:
    """The effects of a command on the inboxes of the objects it touched. Each inbox is read once.

    Args:
        effects: the command's effects, not yet visible in the view; only its `UpdateRow`s count.
        at: the command's place and time.
        view: the table before the command.
        guards: the guards of that view.
        objects: further objects that the command touched.
    """
    return _promotions(effects, at, view, guards, objects, frozenset(), None) or []


def promotions_within(
    most: int | None,
    effects: Iterable[Effect],
    at: At,
    view: View,
    guards: Guards,
    objects: Sequence[Object] = (),
    gone: AbstractSet[int] = frozenset(),
) -> list[Effect] | None:
    """Like `promotions`; None if the started rows, the page's own aside, would weigh more than `most` bytes.

    `gone`: seqs of rows that the page took from their objects by its delta.
    """
    return _promotions(effects, at, view, guards, objects, gone, most)


def _promotions(
    effects: Iterable[Effect],
    at: At,
    view: View,
    guards: Guards,
    objects: Sequence[Object],
    gone: AbstractSet[int],
    most: int | None,
) -> list[Effect] | None:
    changed: dict[Object, list[Row]] = {each: [] for each in objects}
    for effect in effects:
        if isinstance(effect, UpdateRow) and (touched := object_of(effect.row)) is not None:
            changed.setdefault(touched, []).append(effect.row)
    free = [each for each, rows in changed.items() if not any(map(holds, rows))]
    if not free:
        return []
    without = gone | {row.seq for rows in changed.values() for row in rows}
    inboxes = view.inboxes(free, without, most)
    if not inboxes:
        return None
    following: list[Effect] = []
    for each, inbox in inboxes.items():
        waiting = [row for row in changed[each] if row.status is Status.PENDING]
        if inbox.head is not None:
            waiting.append(inbox.head)
        if waiting and not inbox.started:
            following += start(min(waiting, key=_SEQ), at, view, guards)
    return following
