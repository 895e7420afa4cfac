"""`streams gateway`: a small process that starts the gateway's two parts and keeps them alive.

The merge and the api are processes of their own, so that a stuck merge never stops reads, and readers never stop the
merge. Their sockets are opened here and outlive them: while the api starts again, requests wait in its queue.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from streams.config import Topic, variable
from streams.gateway.access.start_rules import check_start
from streams.gateway.process import require_source
from streams.kafka.admin import Admin
from streams.kafka.topics import require
from streams.supervision.child import Part
from streams.supervision.liveness import LivenessWatch
from streams.supervision.sockets import listening, reached_at
from streams.supervision.supervisor import Supervisor, Tree, end_at_once

if TYPE_CHECKING:
    from streams.config import Settings

STOP_S: Final = 18.0
"""Time for both parts to stop before they are killed, seconds."""

TREE: Final = Tree(
    name="gateway",
    part="part of the gateway",
    field="part",
    stop_s=STOP_S,
    ends_all=lambda part, _: part.fault(),
    at_once=end_at_once,
)
"""What one part cannot mend ends both."""

_MODULE: Final = "streams.gateway.part"
_API_TOPICS: Final = (Topic.COMMANDS, Topic.BATCH_SLICES, Topic.FLOWS, Topic.WORKERS, Topic.DEAD_LETTERS)


def run_gateway(settings: Settings) -> int:
    """Run the gateway until SIGTERM or Ctrl-C; a second one ends it at once. Returns the exit code.

    A part that dies is started again, with a pause that grows while it keeps dying.

    Raises:
        StreamsError: it cannot start, or a part cannot go on, for a reason that a person can put right.
    """
    check_start(settings)
    require_source(settings)
    admin = Admin(settings)
    require(admin.client, settings, admin.trouble, *_API_TOPICS)
    with ExitStack() as stack:
        front = stack.enter_context(listening(settings.gateway_http, variable("gateway_http")))
        back = stack.enter_context(listening("127.0.0.1:0", "the merge's own address"))
        merge = Part("merge", _MODULE, settings, {"listen": back})
        api = Part("api", _MODULE, settings, {"listen": front}, {"merge": back.getsockname()[1]})
        watch = LivenessWatch(*reached_at(back))
        stack.callback(watch.end)
        return Supervisor(TREE, [merge, api], watches={merge: watch}).run()
