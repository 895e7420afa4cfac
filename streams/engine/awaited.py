"""The pages among commands, and those that may act: a worker may have written them, and their number is awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from streams.engine.flows import FEW_MEMBERS
from streams.engine.validate import check_internal
from streams.model import ActMembers, ContinueFlow, ContinueSlice, ReleaseHeld, Tick
from streams.protocol.validation import CommandRefusedError

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.model import Meta

Page = ContinueSlice | ContinueFlow | ReleaseHeld | ActMembers | Tick
"""Commands that handle many rows or members: a partition does at most one of them per turn."""
_PAGES = frozenset({ContinueSlice, ContinueFlow, ReleaseHeld, ActMembers, Tick})


def is_page(command: Any) -> TypeGuard[Page]:
    """True if the command may handle many rows or members."""
    # A set of types: `isinstance` of a command that is none of them costs as much as a look at each.
    return type(command) in _PAGES and (type(command) is not ActMembers or len(command.seqs) > FEW_MEMBERS)


def may_act(page: Page, at: At, meta: Meta, before: int) -> bool:
    """True if a page may do more than be counted or become a dead letter.

    Args:
        page: the page, as the log has it.
        at: its place in the log.
        meta: the table's record before the first of the preceding commands is applied.
        before: number of preceding commands that may raise the awaited number, each by at most one.
    """
    try:
        check_internal(page, at)
    except CommandRefusedError:
        return False
    if isinstance(page, ActMembers):
        # It has no number. Each of its members arrived before it, or is none.
        return page.seqs[0] < at.offset
    if isinstance(page, (ContinueSlice, ContinueFlow)):
        number, first, last = page.page, meta.page + (not meta.page_outstanding), meta.page
    elif isinstance(page, ReleaseHeld):
        number, first, last = page.release_no, meta.release_no + (not meta.release_outstanding), meta.release_no
    else:
        number, first, last = page.tick_no, meta.tick_no + 1, meta.tick_no + 1
    return first <= number <= last + before
