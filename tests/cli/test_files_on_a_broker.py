"""Files from elsewhere, and a stdout that fails, on a real broker: what is done is never told as failed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from streams.client import Client
from streams.model import Invocation, Invoke

if TYPE_CHECKING:
    from pathlib import Path

    from support.service.command_line import CommandLine

FULL = "stdout cannot be written: No space left on device"
MARKED = ("utf-8-sig", "utf-16")


def _shell(live: CommandLine, line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `streams` is the program."""
    return subprocess.run(
        ["bash", "-c", f'streams() {{ "{sys.executable}" -m streams "$@"; }}; {line}'],
        cwd=live.folder,
        env={**live.environment, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def _load(live: CommandLine, *ids: str) -> None:
    with Client(live.settings) as client:
        for each in ids:
            client.send(Invoke(Invocation(each, "files", "run")))


@pytest.mark.parametrize("encoding", MARKED)
def test_every_id_of_a_file_from_elsewhere_is_killed(live: CommandLine, tmp_path: Path, encoding: str) -> None:
    """The first one too, and those with characters at which Python would cut; by name or from stdin."""
    run = uuid4().hex[:8]
    ids = [f"{run}-first", f"{run}-\u2028-b", f"{run}-\u00e4"]
    _load(live, *ids)
    (tmp_path / "ids").write_bytes("\r\n".join(ids).encode(encoding))
    dry = _shell(live, f"streams kill --ids-file - --dry-run --json <{tmp_path / 'ids'}")
    assert json.loads(dry.stdout)["matched"] == len(ids)
    killed = live.json("kill", "--ids-file", str(tmp_path / "ids"), "--yes")
    assert (killed["matched"], killed["done"]) == (len(ids), len(ids))


@pytest.mark.parametrize("encoding", MARKED)
def test_every_line_of_a_file_from_elsewhere_is_sent(live: CommandLine, tmp_path: Path, encoding: str) -> None:
    """The first one too; what is broken is named, and how far the file was read."""
    ids = [uuid4().hex for _ in range(3)]
    commands = [
        {"type": "Invoke", "invocation": {"invocation_id": each, "service": "f", "handler": "h"}} for each in ids
    ]
    lines = "".join(f"{json.dumps(each)}\r\n" for each in commands).encode(encoding)
    (tmp_path / "commands").write_bytes(lines)
    sent = live.run("send", str(tmp_path / "commands"))
    assert sent == (0, "3 sent, 0 bad\n", "")
    (tmp_path / "commands").write_bytes(lines + b"\xe4")
    code, stdout, stderr = live.run("send", str(tmp_path / "commands"))
    assert (code, stdout) == (1, "3 sent, 1 bad\n")
    assert stderr.startswith("line 4: ")


def test_a_send_without_a_stdin_sends_nothing_and_says_so(live: CommandLine) -> None:
    """A closed one is not an empty one."""
    done = _shell(live, "streams send <&-")
    assert (done.returncode, done.stdout) == (1, "0 sent, 1 bad\n")
    assert done.stderr == "line 1: from here on nothing was read: stdin cannot be read: it is closed\n"


def test_what_was_done_is_told_although_stdout_is_full(live: CommandLine) -> None:
    """In front of what cannot be printed; it is done, too."""
    run = uuid4().hex[:8]
    words = f"kill --id {run} --batch-id b-{run} --yes"
    _load(live, run)
    for line, done in (
        (f"streams {words}", f"batch b-{run} is COMPLETED"),
        (f"streams {words} --json", f"batch b-{run} is COMPLETED"),
        (f"streams {words} --no-wait", f"batch b-{run} is in the log"),
        (f"streams batch watch b-{run}", f"batch b-{run} is COMPLETED"),
        (f"streams invoke files run --id i-{run}", f"invocation i-{run} is in the log"),
        ("echo | streams send", "0 sent, 0 bad"),
        ("streams topics create", "the topics exist"),
    ):
        failed = _shell(live, f"{line} >/dev/full")
        assert failed.returncode == 1, line
        assert failed.stderr.splitlines()[-1] == f"error: {done}; {FULL}"
    for line in ("tail commands --from-beginning", "batch list", "batch list --json", "topics check"):
        failed = _shell(live, f"streams {line} >/dev/full")
        assert (failed.returncode, failed.stderr) == (1, f"error: {FULL}\n"), line
    assert live.json("batch", "show", f"b-{run}")["done"] == 1


def test_a_reader_that_has_seen_enough_ends_what_it_reads(live: CommandLine) -> None:
    """Quietly, with the code of other programs; one that goes on for ever ends as well."""
    _load(live, *(uuid4().hex for _ in range(2_000)))
    for line in ("tail commands --from-beginning", "tail commands --from-beginning --follow", "export --force"):
        done = _shell(live, f"streams {line} | head -n 1 >/dev/null; echo ${{PIPESTATUS[0]}}")
        assert done.stdout == "141\n", line
        assert "error" not in done.stderr


def test_a_batch_is_told_whole_where_stdout_is_not_utf_8(live: CommandLine) -> None:
    """What has no character there is escaped; JSON stays what it is."""
    name = f"{uuid4().hex[:8]}-\u00e4\u4e00"
    _load(live, name)
    words = f"kill --id {name} --reason {name} --yes"
    done = _shell(live, f"streams {words}", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "\\xe4\\u4e00" in done.stdout
    done = _shell(live, f"streams {words} --json", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["reason"] == name
