"""A Kafka property that breaks the design, or that no client knows, is one line at the start of every program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.service.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.long

EXECUTOR = Path(__file__).parents[1] / "support" / "service" / "executor_program.py"
PROGRAMS: dict[str, Sequence[str]] = {
    "worker": ("-m", "streams", "worker"),
    "gateway": ("-m", "streams", "gateway"),
    "executor": (str(EXECUTOR), "notes"),
}
BREAK = {
    "PARTITION_ASSIGNMENT_STRATEGY": "range",
    "GROUP_PROTOCOL": "consumer",
    "MESSAGE_MAX_BYTES": "1000",
    "ALLOW_AUTO_CREATE_TOPICS": "true",
    "DEFAULT_TOPIC_CONFIG": "x",
}
UNKNOWN = {"NO_SUCH_THING": ("1", "no.such.thing"), "LINGER_MS": ("soon", "queue.buffering.max.ms")}


def _line(program: str, folder: Path, **variables: str) -> str:
    """What the program ends with; nobody serves at the address."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}
    ended = subprocess.run(
        [sys.executable, *PROGRAMS[program]],
        env={**inherited, "PYTHONPATH": str(ROOT), "STREAMS_BOOTSTRAP_SERVERS": "127.0.0.1:1", **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    if program != "executor":
        assert "Traceback" not in ended.stderr, ended.stderr
    return ended.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_breaks_the_design_is_refused_by_name(program: str, tmp_path: Path) -> None:
    """All at once, the variable and the way out; before anything is written, or a broker asked."""
    inherited = {f"STREAMS_KAFKA_{name}": value for name, value in BREAK.items()}
    last = _line(program, tmp_path, **inherited)
    name, _, way_out = last.rpartition("cannot be set this way: ")
    assert any(f"STREAMS_KAFKA_{each}: " in name for each in BREAK), last
    assert way_out


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_no_client_knows_is_refused_by_name(program: str, name: str, tmp_path: Path) -> None:
    """The property as librdkafka calls it, and where to look."""
    value, told = UNKNOWN[name]
    last = _line(program, tmp_path, **{f"STREAMS_KAFKA_{name}": value})
    assert told in last
    assert "see STREAMS_KAFKA_* in the settings" in last
