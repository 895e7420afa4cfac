"""`export` as a person meets it: the file, what is told, and how it ends; on the cluster in memory."""

from __future__ import annotations

import json
import re
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from streams.cli.app import app
from streams.cli.context import Connection
from streams.errors import StreamsError
from streams.model import Act, Action, Filter, Invocation, Invoke, StartBatch
from streams.offline import export as runtime
from streams.state.store import Store
from support.service.worker_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAR = 10**14


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service at rest, which the command line takes for its own: one READY, one SCHEDULED and paused, one killed."""
    with closing(World(tmp_path)) as world:
        world.invoke(*(Invoke(Invocation(name, "mail", "send"), payload=b"\xff") for name in ("runs", "over")))
        world.invoke(Invoke(Invocation("shelved", "mail", "send"), FAR))
        world.send(Act("shelved", Action.PAUSE), key="shelved")
        world.send(Act("over", Action.KILL), key="over")
        world.send(StartBatch("b-1", Action.KILL, Filter(services=("none",)), max_rate=0.01), key="b-1")
        world.run_until_idle()
        world.close()
        world.cluster.kill()
        yield world


def _run(world: World, *words: str) -> Result:
    return CliRunner().invoke(app, ["export", *words], obj=Connection(world.settings, world.cluster))


def _types(lines: str) -> list[str]:
    return [json.loads(line)["type"] for line in lines.splitlines()]


def test_stdout_has_the_commands_and_stderr_the_rest(world: World) -> None:
    """How many of which status, what to know of them, and what stays behind."""
    done = _run(world)
    assert done.exit_code == 0
    assert sorted(_types(done.stdout)) == ["Act", "Invoke", "Invoke"]
    assert '"payload":"/w=="' in done.stdout
    told = done.stderr.splitlines()
    assert told[:2] == [
        "exported, in 3 commands: 2 (READY 1, PAUSED 1)",
        "adopted, RUNNING without a START; whoever runs them reports as attempt 1: 1",
    ]
    assert re.fullmatch(r"paused before their start, to be sent before 20.*Z: 1", told[2])
    assert told[3:] == ["ended, left behind: 1 (KILLED 1)", "batches that are not over, left behind: 1 (b-1)"]
    assert world.deaths == 0


def test_a_file_has_its_name_once_it_is_whole(world: World, tmp_path: Path) -> None:
    """Nothing else is left in the folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    done = _run(world, "-o", str(folder / "table"), "--started", "restart", "--import-within", "10m")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "started again, with a START: 1\n" in done.stderr
    assert [each.name for each in folder.iterdir()] == ["table"]
    assert len(_types((folder / "table").read_text(encoding="utf-8"))) == 3


def test_nothing_is_written_when_it_is_refused_or_broken_off(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of that name stays as it was."""
    file = tmp_path / "out" / "table"
    file.parent.mkdir()
    file.write_text("before", encoding="utf-8")
    world.send(Act("runs", Action.KILL), key="runs")
    refused = _run(world, "-o", str(file))
    assert isinstance(refused.exception, StreamsError)
    assert "have not been applied" in str(refused.exception)
    assert "--force" in str(refused.exception)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runtime, "commands_for", interrupted)
    broken = _run(world, "-o", str(file), "--force")
    assert broken.exit_code == 130
    assert "not at rest: t.commands, partition" in broken.stderr
    assert [each.name for each in file.parent.iterdir()] == ["table"]
    assert file.read_text(encoding="utf-8") == "before"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--import-within", "soon"), "'soon' is not a duration"),
        (("--started", "perhaps"), "'perhaps' is not one of"),
        (("-o", "."), "is a directory"),
    ],
)
def test_what_is_not_understood_exports_nothing(world: World, words: tuple[str, str], said: str) -> None:
    """Exit code 2."""
    done = _run(world, *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_a_full_disk_is_told_with_the_way_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the tables that are kept meanwhile, and of the file itself."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "open", full)
        assert "set TMPDIR to a folder with room" in str(_run(world).exception)
    done = _run(world, "-o", "/dev/full/table")
    assert "/dev/full/table cannot be written: Not a directory" in str(done.exception)
    assert world.deaths == 0
