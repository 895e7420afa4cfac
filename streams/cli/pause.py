"""`pause`, `resume` and `purge`: batches that end nothing."""

from __future__ import annotations

from streams.cli.kill import Cancelling, Sending, run
from streams.cli.options.bounds import Bounds
from streams.cli.options.selection import Selection
from streams.cli.options.takes import takes
from streams.model import Action


@takes(Selection, Bounds, Sending)
def pause(selection: Selection, bounds: Bounds, sending: Sending) -> None:
    """Hold invocations where they stand, until they are resumed, cancelled or killed.

    Executors are told to stop what runs. Different options narrow the choice, the same one given again widens it. A dry
    run first counts what matches, and you are asked; once it runs, Ctrl-C leaves it running.

    Example: streams pause --service billing --label tenant=acme --reason "their database is down"
    """
    run(selection, bounds, sending, Action.PAUSE, Cancelling())


@takes(Selection, Bounds, Sending)
def resume(selection: Selection, bounds: Bounds, sending: Sending) -> None:
    """Let paused invocations go on: what was started starts again, from its beginning, as its next attempt.

    What is not paused is skipped. Different options narrow the choice, the same one given again widens it. A dry run
    first counts what matches, and you are asked; once it runs, Ctrl-C leaves it running.

    Example: streams resume --status paused --service billing
    """
    run(selection, bounds, sending, Action.RESUME, Cancelling())


@takes(Selection, Bounds, Sending)
def purge(selection: Selection, bounds: Bounds, sending: Sending) -> None:
    """Remove ended invocations for good, with their payloads, before their retention is over.

    Only what has ended matches. Different options narrow the choice, the same one given again widens it. A dry run
    first counts what matches, and you are asked; once it runs, Ctrl-C leaves it running.

    Example: streams purge --status completed --modified-before 1h
    """
    run(selection, bounds, sending, Action.PURGE, Cancelling())
