"""Where an export goes: a file once it is whole, and nothing else is ever replaced."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from streams.cli.sink import Sink
from streams.errors import StreamsError
from support.service.programs import ROOT

LINE = b'{"type":"Invoke"}\n'


def _write(path: Path) -> None:
    with closing(Sink(path)) as sink:
        sink.write(LINE)
        sink.finish()


def _names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def test_a_file_is_replaced_once_the_new_one_is_whole(tmp_path: Path) -> None:
    """Until then it is as it was, and so it stays when the new one is given up."""
    file = tmp_path / "table"
    file.write_bytes(b"before")
    with closing(Sink(file)) as sink:
        sink.write(LINE)
        assert file.read_bytes() == b"before"
    assert (file.read_bytes(), _names(tmp_path)) == (b"before", {"table"})
    _write(file)
    assert (file.read_bytes(), _names(tmp_path)) == (LINE, {"table"})


def test_a_file_keeps_its_permissions(tmp_path: Path) -> None:
    """Payloads that only one person might read are not shown to all by the next export."""
    file = tmp_path / "table"
    file.touch(0o600)
    _write(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_of_somebody_else_beside_it_is_left_alone(tmp_path: Path) -> None:
    """However it is called."""
    for name in ("table.part", "table.tmp", "table~"):
        (tmp_path / name).write_bytes(b"mine")
    _write(tmp_path / "table")
    assert _names(tmp_path) == {"table", "table.part", "table.tmp", "table~"}
    assert (tmp_path / "table.part").read_bytes() == b"mine"


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_its_file_is_written(tmp_path: Path, *, exists: bool) -> None:
    """Through several links, into another folder, and where there is no such file yet."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    file = folder / "table"
    if exists:
        file.write_bytes(b"before")
    (folder / "again").symlink_to("table")
    (tmp_path / "link").symlink_to("elsewhere/again")
    _write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (folder / "again").is_symlink()
    assert file.read_bytes() == LINE
    assert (_names(tmp_path), _names(folder)) == ({"elsewhere", "link"}, {"again", "table"})


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    """They lead nowhere."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StreamsError, match=r"a cannot be written: Too many levels of symbolic links"):
        Sink(tmp_path / "a")
    assert (tmp_path / "a").is_symlink()


def test_a_fifo_is_written_to_and_stays(tmp_path: Path) -> None:
    """By its own name or by a link."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "link").symlink_to("fifo")
    for path in (fifo, tmp_path / "link"):
        read: list[bytes] = []
        reader = threading.Thread(target=lambda read=read: read.append(fifo.read_bytes()))
        reader.start()
        _write(path)
        reader.join()
        assert read == [LINE]
    assert stat.S_ISFIFO(fifo.lstat().st_mode)
    assert _names(tmp_path) == {"fifo", "link"}


@pytest.mark.parametrize("linked", [True, False])
def test_a_device_is_written_to_and_stays(tmp_path: Path, *, linked: bool) -> None:
    """A full one says so; root would have replaced it by a file."""
    full = Path("/dev/full")
    if linked:
        full = tmp_path / "link"
        full.symlink_to("/dev/full")
    with pytest.raises(StreamsError, match=r"cannot be written: No space left on device"):
        _write(full)
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)
    _write(Path("/dev/null"))
    assert stat.S_ISCHR(Path("/dev/null").lstat().st_mode)
    assert _names(tmp_path) == ({"link"} if linked else set())


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_an_open_descriptor_is_written_behind_what_stands_there(tmp_path: Path, path: str) -> None:
    """The file is the shell's, which has it open: were it replaced, whatever is printed later would be lost."""
    file = tmp_path / "log"
    file.write_bytes(b"before\n")
    (tmp_path / "link").symlink_to("/dev/stdout")
    program = (
        "from pathlib import Path; from streams.cli.sink import Sink\n"
        f"sink = Sink(Path({path!r})); sink.write({LINE!r}); sink.finish(); sink.close(); print('after')"
    )
    with file.open("ab") as log:
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=log,
            check=True,
        )
    assert file.read_bytes() == b"before\n" + LINE + b"after\n"
    assert _names(tmp_path) == {"link", "log"}


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """Nor is one that is missing made."""
    with pytest.raises(StreamsError, match="Is a directory"):
        Sink(tmp_path)
    with pytest.raises(StreamsError, match="No such file"):
        Sink(tmp_path / "no" / "table")
    assert _names(tmp_path) == set()
