"""The peers are installed only by those who ask for them, in versions that are pinned."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bench.lib.service import BenchError
from bench.peers import installed, naive
from bench.peers.restate import measure as restate

ROOT = Path(__file__).parents[2]
RESTATE = ROOT / "bench" / "peers" / "restate"


@pytest.fixture
def _nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "QUIX_PYTHON", tmp_path / "quix" / "bin" / "python")
    monkeypatch.setattr(installed, "RESTATE", tmp_path / "restate")


@pytest.mark.usefixtures("_nothing_installed")
@pytest.mark.parametrize("name", installed.NAMES)
def test_one_that_is_missing_is_told_in_a_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the command that installs it."""
    assert not installed.here(name)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"python -m bench.peers.installed {name} installs it")


@pytest.mark.usefixtures("_nothing_installed")
def test_what_is_missing_is_left_out() -> None:
    """The others are measured: Faust is among the packages of development."""
    assert list(naive.programs(faust=True)) == [naive.FAUST]
    assert naive.programs(faust=False) == {}
    assert not restate.installed()


def test_one_that_fails_costs_no_figures_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told, and the table says that it was not measured."""

    def fail() -> None:
        raise BenchError("no answer")

    assert installed.each_of({"one": lambda: 1, "two": fail, "three": lambda: 3}) == {"one": 1, "three": 3}
    assert capsys.readouterr().err == "two is left out: no answer\n"


def test_a_name_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is installed."""
    monkeypatch.setattr("sys.argv", ["installed", "temporal"])
    monkeypatch.setattr(installed, "install", lambda _: pytest.fail("installed"))
    with pytest.raises(SystemExit, match="one of quix, restate"):
        installed.main()


def test_versions_are_exact() -> None:
    """And the lock file has the same ones, of every package with its checksum."""
    wanted = json.loads((RESTATE / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    packages = json.loads((RESTATE / "package-lock.json").read_text())["packages"]
    assert packages.pop("")["dependencies"] == wanted
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all(each["integrity"] for each in packages.values())


def test_nothing_of_them_is_in_the_repository() -> None:
    """Git ignores the folder."""
    assert ".peers/" in (ROOT / ".gitignore").read_text().splitlines()
