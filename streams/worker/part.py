"""One of several processes of a worker: `python -m streams.worker.part <number>`, started by the supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.supervision.part import run_part
from streams.worker.process import OneOfMany, run_worker

if TYPE_CHECKING:
    from streams.supervision.part import Given


def _run(given: Given) -> int:
    return run_worker(given.settings, OneOfMany(given.values["number"], given.sockets.get("listen")))


if __name__ == "__main__":
    run_part(_run, "process of the worker")
