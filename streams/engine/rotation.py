"""The rotation: slices and flows of a partition take turns, one page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from streams.engine.effects import Append, PutFlow, SetPage
from streams.engine.flows import has_page
from streams.model import ENGINE_VERSION, ContinueFlow, ContinueSlice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View


LOOKS: Final = 4
"""Members that a flow's page looks at, for each that it may ask: a look costs little."""


class FlowTurn(NamedTuple):
    """The name of a flow in the rotation; that of a slice is its batch's id."""

    flow_id: str
    children: bool


Turn = str | FlowTurn


def waiting_turns(view: View, effects: Sequence[Effect] = ()) -> list[Turn]:
    """Whoever has a page to do: slices in order of their cut-off, then flows, but for those whom `effects` leave none.

    `effects`: those of a slice's page, which may ask a flow's members itself, or open the flow again.
    """
    flows = [FlowTurn(flow.flow_id, flow.children) for flow in view.dispatching()]
    put = [effect.flow for effect in effects if type(effect) is PutFlow] if flows else []
    idle = {FlowTurn(flow.flow_id, flow.children) for flow in put if not has_page(flow, view.partitions)}
    return [*view.running_slices(), *(turn for turn in flows if turn not in idle)]


def next_in_rotation(turn: Turn, running: Sequence[Turn], goes_on: bool) -> Turn | None:  # noqa: FBT001
    """The next one to do a page after `turn`; None if nobody has one.

    `running`: everybody with a page to do, in order. `goes_on`: `turn` has another page, and its turn comes again.
    """
    others = [other for other in running if other != turn]
    if turn in running:
        index = list(running).index(turn)
        others = [*others[index:], *others[:index]]
    if others:
        return others[0]
    return turn if goes_on else None


def next_page(turn: Turn | None, at: At, view: View) -> list[Effect]:
    """The next `ContinueSlice` or `ContinueFlow`; None when nobody has a page to do any more."""
    page = view.meta.page
    if turn is None:
        return [SetPage(page, False)]
    command: ContinueSlice | ContinueFlow
    most = view.page_sizes.max_bytes
    if isinstance(turn, FlowTurn):
        sizes = view.page_sizes
        scanned = max(LOOKS * sizes.max_asked or sizes.max_scanned, 1)
        matched = max(sizes.max_asked or sizes.max_matched, 1)
        command = ContinueFlow(
            ENGINE_VERSION, at.partition, turn.flow_id, turn.children, page + 1, scanned, matched, most
        )
        return [SetPage(page + 1, True), Append(at.partition, turn.flow_id, command)]
    sizes = view.page_sizes_of(turn)
    scanned, matched = max(sizes.max_scanned, 1), max(sizes.max_matched, 1)
    command = ContinueSlice(ENGINE_VERSION, at.partition, turn, page + 1, scanned, matched, most)
    return [SetPage(page + 1, True), Append(at.partition, turn, command)]


def begin_turns(effects: list[Effect], at: At, view: View) -> list[Effect]:
    """The effects of a command, and the first page of a flow that it wakes, unless a page is outstanding."""
    woken: FlowTurn | None = None
    ended: int | None = None
    for place, effect in enumerate(effects):
        if type(effect) is PutFlow:
            flow = effect.flow
            if woken is None and (flow.cursors or flow.recheck_left) and has_page(flow, view.partitions):
                woken = FlowTurn(flow.flow_id, flow.children)
        elif type(effect) is SetPage:
            if effect.outstanding:
                return effects
            ended = place
    if woken is None or (ended is None and view.meta.page_outstanding):
        return effects
    rest = effects if ended is None else [*effects[:ended], *effects[ended + 1 :]]
    return rest + next_page(woken, at, view)
