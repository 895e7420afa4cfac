"""Write `docs/metrics.md` from the definitions of metrics.

make docs
"""  # noqa: INP001 - a program, no package

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from streams.metrics import Metric, OfApi, OfEach, OfExecutor, OfGateway, OfProcesses, OfWorker, labels, metrics_of

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE: Final = Path(__file__).parents[1] / "docs" / "metrics.md"

HEAD = """\
# Metrics

Made from `streams/metrics/definitions.py` by `scripts/metrics_page.py`; do not edit. A worker serves its metrics at
`http://<STREAMS_WORKER_HTTP>/metrics`, a gateway at `http://<STREAMS_GATEWAY_HTTP>/metrics`, an executor of this
package at `http://<STREAMS_EXECUTOR_HTTP>/metrics` (with its extra `metrics`), beside `/health/live` and
`/health/ready`. A worker of several processes serves those of all: each sample then has a label `process` besides, the
number of the process, or `supervisor` for `process_*` and `python_info` of the one that looks after them. Each program
has `process_*` (CPU, memory, open files) and `python_info` besides. There are
[alert rules and a dashboard](operations.md#alerts) of these.
"""


def document() -> str:
    """The page as it should be."""
    lines = []
    for title, role in (
        ("Every program", OfEach),
        ("Worker", OfWorker),
        ("Worker of several processes", OfProcesses),
        ("Gateway", OfGateway),
        ("API of a gateway", OfApi),
        ("Executor", OfExecutor),
    ):
        lines += ["", f"## {title}", "", "| metric | kind | says | labels |", "| --- | --- | --- | --- |"]
        lines += [_row(metric) for metric in metrics_of(role)]
    lines += ["", "## Labels", "", "| label | is | values |", "| --- | --- | --- |"]
    lines += [f"| `{label.name}` | {label.says} | {_names(label.values or label.begins)} |" for label in labels()]
    return HEAD + "".join(f"{line}\n" for line in lines)


def _row(metric: Metric) -> str:
    kind = type(metric).__name__.removesuffix("Of").lower()
    return f"| `{metric.name}` | {kind} | {metric.says} | {_names(metric.label_names)} |"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(document(), encoding="utf-8")
