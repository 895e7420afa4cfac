"""stdin, stdout and stderr as shells give them: full, closed, with nobody to read, of another encoding."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.service.programs import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.long

PRINTING = ("schemas list", "schemas show Invoke", "--help")
"""By `rich`, by `typer`, and as help, which is none of the verbs' own."""
GONE = ": <fifo & exec 3>fifo; wait;"
"""Makes number 3 what nobody reads any longer: both ends were open, and then one was closed."""
NOWHERE = {"STREAMS_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def _shell(line: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `streams` is the program."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}
    return subprocess.run(
        ["bash", "-c", f'streams() {{ "{sys.executable}" -m streams "$@"; }}; {line}'],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), **NOWHERE, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_a_reader_that_has_gone_ends_a_command_quietly(tmp_path: Path) -> None:
    """With the code that other programs have then; whoever has seen enough asks for no more."""
    os.mkfifo(tmp_path / "fifo")
    for words in PRINTING:
        done = _shell(f"{GONE} streams {words} >&3; echo $?", tmp_path)
        assert (done.stdout, done.stderr) == ("141\n", ""), words


@pytest.mark.parametrize(
    ("words", "where", "why"),
    [
        *((words, ">/dev/full", "No space left on device") for words in PRINTING),
        (PRINTING[0], ">&-", "it is closed"),
        (PRINTING[1], ">&- <&-", "it is closed"),
    ],
)
def test_a_stdout_that_takes_nothing_is_one_line(tmp_path: Path, words: str, where: str, why: str) -> None:
    """Exit code 1: nothing of what was asked for is to be seen."""
    done = _shell(f"streams {words} {where}", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: stdout cannot be written: {why}\n"


def test_a_stderr_that_takes_nothing_changes_nothing(tmp_path: Path) -> None:
    """Neither what is printed nor the exit code: it only tells."""
    os.mkfifo(tmp_path / "fifo")
    for where in ("2>/dev/full", "2>&-", "2>&3"):
        printed = _shell(f"{GONE} streams schemas list {where}", tmp_path)
        assert (printed.returncode, printed.stderr) == (0, ""), where
        assert "Invoke\n" in printed.stdout
        failed = _shell(f"{GONE} streams schemas show nothing {where}", tmp_path)
        assert (failed.returncode, failed.stdout, failed.stderr) == (1, "", ""), where
    usage = _shell(f"{GONE} streams kill --nothing 2>&3", tmp_path)
    assert (usage.returncode, usage.stdout, usage.stderr) == (2, "", "")


@pytest.mark.parametrize("words", ["kill --yes --ids-file -", "invoke emails send -"])
def test_a_stdin_that_is_closed_is_one_line(tmp_path: Path, words: str) -> None:
    """Nothing is sent, and nothing is taken for an empty one."""
    done = _shell(f"streams {words} <&-", tmp_path)
    assert done.returncode in {1, 2}
    assert done.stdout == ""
    assert "stdin cannot be read: it is closed" in " ".join(done.stderr.replace("\u2502", " ").split())
    assert "should not happen" not in done.stderr


def test_closed_numbers_are_given_to_no_other_file(tmp_path: Path) -> None:
    """What is printed would stand in it."""
    program = (
        "import sys; from streams.cli import stdio; stdio.prepare(); opened = open('mine', 'w');"
        " sys.stdout.write('x'); print('y', file=sys.stderr); stdio.give_up(); sys.exit(opened.fileno() < 3)"
    )
    done = _shell(f'"{sys.executable}" -c "{program}" <&- >&- 2>&-', tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "mine").read_text() == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict", "utf-8"])
def test_a_stdout_of_another_encoding_takes_everything(tmp_path: Path, encoding: str) -> None:
    """What it has no character for is escaped: an error after the work would be taken for the work's."""
    program = (
        "from streams.cli import stdio; stdio.prepare(); from streams.cli.show.console import out, err, print_json; "
        "out.print(chr(0x4e00)); err.print(chr(0x4e00)); print_json(dict(a=chr(0x4e00))); out.print(chr(0xdc80))"
    )
    done = _shell(f'"{sys.executable}" -c "{program}"', tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    shown = "\u4e00" if encoding == "utf-8" else "\\u4e00"
    assert done.stdout == f'{shown}\n{{\n  "a": "\u4e00"\n}}\n\\udc80\n'


def test_help_is_printed_in_every_locale(tmp_path: Path) -> None:
    """Boxes and all."""
    for variables in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        for words in ("kill --help", "kill --nothing"):
            done = _shell(f"streams {words}", tmp_path, **variables)
            assert done.returncode in {0, 2}, done.stderr
            assert "should not happen" not in done.stderr


def test_a_word_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Exit code 2, before anything is sent; text of any language is text."""
    done = _shell("streams kill -s $'caf\\xe9' --yes", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: 'caf\\udce9' is not UTF-8: write it in UTF-8\n"
    done = _shell("streams kill -s café-一 --limit 0 --yes", tmp_path)
    assert "limit" in done.stderr


def test_an_env_file_of_another_encoding_is_one_line(tmp_path: Path) -> None:
    """Of a process that runs on, and of a command."""
    (tmp_path / ".env").write_bytes("STREAMS_WORKER_ID=w\n".encode("utf-16"))
    for words in ("worker", "batch list"):
        done = _shell(f"streams {words}", tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: .env is UTF-16: save it as UTF-8\n")
