"""The verbs that start a batch, one per action."""

from __future__ import annotations

from streams.cli.options.bounds import Bounds, Standing
from streams.cli.options.selection import Selection
from streams.cli.options.sending import Cancelling, Sending
from streams.cli.options.takes import takes
from streams.cli.start_batch import run
from streams.model import Action


@takes(Selection, Bounds, Standing, Sending)
def kill(selection: Selection, bounds: Bounds, standing: Standing, sending: Sending) -> None:
    """End invocations at once, whatever their executors do.

    Different options narrow the choice, the same one given again widens it. A dry run first counts what matches, and
    you are asked; once it runs, Ctrl-C leaves it running. To undo it: streams restart --batch ID, while they are kept.

    Example: streams kill --service billing --created-before 2h --reason "bad deploy"
    """
    run(Action.KILL, selection, bounds, sending, standing)


@takes(Selection, Cancelling, Bounds, Standing, Sending)
def cancel(selection: Selection, cancelling: Cancelling, bounds: Bounds, standing: Standing, sending: Sending) -> None:
    """Ask executors to end invocations; those that do not within the grace are killed, or left.

    Different options narrow the choice, the same one given again widens it. A dry run first counts what matches, and
    you are asked; once it runs, Ctrl-C leaves it running.

    Example: streams cancel --service billing --label tenant=acme --grace 2m --on-timeout leave
    """
    run(Action.CANCEL, selection, bounds, sending, standing, cancelling)


@takes(Selection, Bounds, Sending)
def pause(selection: Selection, bounds: Bounds, sending: Sending) -> None:
    """Hold invocations where they stand, until they are resumed, cancelled or killed.

    Executors are told to stop what runs. Different options narrow the choice, the same one given again widens it. A dry
    run first counts what matches, and you are asked; once it runs, Ctrl-C leaves it running.

    Example: streams pause --service billing --label tenant=acme --reason "their database is down"
    """
    run(Action.PAUSE, selection, bounds, sending)


@takes(Selection, Bounds, Sending)
def resume(selection: Selection, bounds: Bounds, sending: Sending) -> None:
    """Let paused invocations go on: what was started starts again, from its beginning, as its next attempt.

    What is not paused is skipped. Different options narrow the choice, the same one given again widens it. A dry run
    first counts what matches, and you are asked; once it runs, Ctrl-C leaves it running.

    Example: streams resume --status paused --service billing
    """
    run(Action.RESUME, selection, bounds, sending)


@takes(Selection, Bounds, Sending)
def restart(selection: Selection, bounds: Bounds, sending: Sending) -> None:
    """Run what has ended again, from its beginning, with its payload, as its next attempt.

    It undoes a kill, children included, as long as retention keeps what was killed. What was adopted is skipped, and
    what a running kill or cancel would end at once. Different options narrow the choice, the same one given again
    widens it. A dry run first counts what matches, and you are asked; once it runs, Ctrl-C leaves it running.

    Example: streams restart --batch 019a5c1e-7f3a-7c40-8a5e-3b1f0c2d4e5f
    """
    run(Action.RESTART, selection, bounds, sending)


@takes(Selection, Bounds, Sending)
def purge(selection: Selection, bounds: Bounds, sending: Sending) -> None:
    """Remove ended invocations for good, with their payloads, before their retention is over.

    Only what has ended matches. Different options narrow the choice, the same one given again widens it. A dry run
    first counts what matches, and you are asked; once it runs, Ctrl-C leaves it running.

    Example: streams purge --status completed --modified-before 1h
    """
    run(Action.PURGE, selection, bounds, sending)
