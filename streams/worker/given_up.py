"""Partitions that cannot go on: each is given up alone, and the others go on.

The worker keeps the partition: another worker would fare no better. It is tried again now and then, because the cause
may have been repaired.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from streams.worker.task import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.errors import PartitionError
    from streams.worker.task import PartitionTask

log = structlog.get_logger("streams.worker")

AGAIN_S: Final = 60.0
"""Pause before a given-up partition is tried again, seconds."""


def give_up_partition(tasks: Mapping[int, PartitionTask], error: PartitionError, pause: Callable[[int], None]) -> None:
    """Stop the partition until it is tried again; `pause` stops the reading of its commands.

    Raises:
        PartitionError: `error`, if no other partition goes on.
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
    """Take over again the given-up partitions whose pause has ended."""
    for task in tasks.values():
        if task.phase is Phase.GIVEN_UP and time.monotonic() >= task.again_at:
            log.info("partition tried again", partition=task.partition)
            task.claim()
