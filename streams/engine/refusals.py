"""Commands of the protocol that this version refuses by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.engine.validate import not_supported
from streams.protocol.validation import check_id

if TYPE_CHECKING:
    from streams.engine.effects import Effect
    from streams.engine.view import At, View
    from streams.model import CancelFlow


def refuse_cancel_flow(command: CancelFlow, at: At, view: View) -> list[Effect]:
    """Refuse a `CancelFlow`: this version has no flows."""
    del at, view
    check_id("flow_id", command.flow_id)
    not_supported("CancelFlow", "cancel the invocations by a batch")
