"""Quix Streams and Faust restore as many rows from their changelogs, written by the same job as in `naive`.

From when the program says that it begins until it says that all is there, by its own log.
"""

from __future__ import annotations

import shutil
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.lib import workload
from bench.lib.report import load_average
from bench.lib.service import PARTITIONS, BenchError, say, service
from bench.peers import installed, naive

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from bench.lib.service import Service

_WITHIN_S = 900.0
_COMMITS_WITHIN_S = 12.0
"""Longer than they leave between two commits."""
_SAYS = {
    naive.QUIX: ("Beginning recovery check", "Recovery process complete"),
    naive.FAUST: ("Restoring state from changelog", "Restore complete"),
}
"""What its log says when it begins to restore, and when it has."""


def beside(bootstrap: str, rows: int, faust_rows: int) -> dict[str, Any]:
    """Figures of each that is installed."""
    found = naive.programs(faust=faust_rows > 0)
    return installed.each_of(
        {
            name: partial(_restored, bootstrap, name, program, faust_rows if name == naive.FAUST else rows)
            for name, program in found.items()
        }
    )


def _restored(bootstrap: str, name: str, program: Sequence[str], rows: int) -> dict[str, Any]:
    records = list(workload.started(workload.ids(rows), PARTITIONS))
    with service(bootstrap, f"peers-restore-{name.split(maxsplit=1)[0].lower()}") as made:
        made.preload(records, name)
        state = made.folder / "peer"
        with naive.running(made, name, program, state) as process:
            naive.watch(made, name, rows, process)
            time.sleep(_COMMITS_WITHIN_S)
        shutil.rmtree(state, ignore_errors=True)
        say(f"{name}: restore of {rows:,} rows from the changelog")
        with naive.running(made, name, program, state) as process:
            begins, ends = _SAYS[name]
            began = _said(made, name, begins, process)
            seconds = _said(made, name, ends, process) - began
    return {"rows": rows, "seconds": seconds, "rows_per_second": rows / seconds, "load_average": load_average()}


def _said(made: Service, name: str, text: str, process: subprocess.Popen[bytes]) -> float:
    """When its log has it, seconds."""
    deadline = time.monotonic() + _WITHIN_S
    while text not in naive.log_of(made, name).read_text(encoding="utf-8", errors="replace"):
        if time.monotonic() > deadline or process.poll() is not None:
            raise BenchError(f"{name} never says {text!r}\n{naive.tail_of(made, name)}")
        time.sleep(0.02)
    return time.monotonic()
