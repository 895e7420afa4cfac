"""The table of `docs/performance.md` from figures that were measured part by part.

Whoever cannot keep a machine quiet for hours measures one thing after the other, each with `--json FILE` and on the
same broker (`--broker HOST:PORT`), and puts the files together at the end.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.lib import page

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

NAME = "table"


def add_arguments(parser: argparse.ArgumentParser, default: Path) -> None:
    """Which files, and which page."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="with figures, as --json wrote them")
    parser.add_argument("--broker", help="what it was, in words, for figures of one that was given by its address")
    parser.add_argument("--page", type=Path, default=default, help="the page that has the table (default: %(default)s)")


def write(options: argparse.Namespace) -> None:
    """Put the table into the page.

    Raises:
        ValueError: a file has no figures, or the page no place for the table.
        OSError: a file or the page can't be read or written.
    """
    figures = together([_read(path) for path in options.files])
    page.put(options.page, page.table(figures | ({"broker": options.broker} if options.broker else {})))


def together(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of one program after the other, as if one had measured all: the first run of each measure, the second...

    Args:
        parts: figures as `python -m bench` keeps them, at least one.
    """
    found: dict[str, list[Any]] = {}
    for part in parts:
        for run in part["runs"]:
            for name, measured in run.items():
                found.setdefault(name, []).append(measured)
    most = max(map(len, found.values()), default=0)
    speeds = [part["machine"][when] for part in parts for when in ("loops", "loops_at_end")]
    settings: dict[str, str] = {}
    for part in parts:
        settings |= part["settings"]
    return {
        "at": min(part["at"] for part in parts),
        "machine": parts[0]["machine"] | {"loops": min(speeds), "loops_at_end": max(speeds)},
        "broker": " and ".join(sorted({part["broker"] for part in parts})),
        "settings": settings,
        "about": "4 partitions (flows: 8), one worker; how much of what, each command says",
        "commands": [command for part in parts for command in part["commands"]],
        "runs": [{name: runs[number] for name, runs in found.items() if number < len(runs)} for number in range(most)],
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: name files that --json wrote") from error
    if not isinstance(figures, dict) or not {"at", "machine", "settings", "commands", "runs"} <= figures.keys():
        raise ValueError(f"{path} has no figures: name files that --json wrote")
    return figures
