"""A worker as a process to which orders of some flows are dead letters. Run by tests: it is no test.

Flows whose id begins with `stuck` are never acted on, of those with `late` only the first order of each is lost.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from streams.cli import main
from streams.engine.dispatch import HANDLERS
from streams.model import ActMembers
from streams.protocol.validation import CommandRefusedError

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View

_act_members = HANDLERS[ActMembers]
_lost: dict[str, tuple[int, int]] = {}


def act_members(command: ActMembers, at: At, view: View) -> list[Effect]:
    """As the engine does, where it is not refused."""
    place = at.partition, at.offset
    if command.flow_id.startswith("stuck") or (
        command.flow_id.startswith("late") and _lost.setdefault(command.flow_id, place) == place
    ):
        raise CommandRefusedError("refused", "this worker is deaf")
    return _act_members(command, at, view)


if __name__ == "__main__":
    HANDLERS[ActMembers] = act_members
    sys.argv[0] = "streams"
    main()
