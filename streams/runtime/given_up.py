"""Partitions that cannot go on: each is given up by itself, and the others go on.

The worker keeps it: whoever else took it over would fare no better. It is tried again now and then, for what is wrong
may have been put right meanwhile.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from streams.runtime.task import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.errors import PartitionError
    from streams.runtime.task import PartitionTask

log = structlog.get_logger("streams.worker")

AGAIN_S: Final = 60.0
"""How long a partition that was given up is left alone."""


def give_up(tasks: Mapping[int, PartitionTask], error: PartitionError, pause: Callable[[int], None]) -> None:
    """The partition does nothing any more until it is tried again; `pause` stops the reading of its commands.

    Raises:
        PartitionError: `error`, where no other partition goes on.
    """
    task = tasks.get(error.partition)
    if task is None:
        return
    task.give_up(str(error), time.monotonic() + AGAIN_S)
    pause(error.partition)
    if all(each.phase is Phase.GIVEN_UP for each in tasks.values()):
        raise error
    log.error("partition given up, the others go on", partition=error.partition, why=str(error), again_in_s=AGAIN_S)


def try_again(tasks: Mapping[int, PartitionTask]) -> None:
    """Take those over anew that have been left alone for long enough."""
    for task in tasks.values():
        if task.phase is Phase.GIVEN_UP and time.monotonic() >= task.again_at:
            log.info("partition tried again", partition=task.partition)
            task.claim()
