"""Figures measured part by part: they make one table, and what is no file of figures is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bench.__main__ import main, parse
from bench.lib.page import BEGIN, END, put
from bench.parts import together

if TYPE_CHECKING:
    from pathlib import Path


def _part(at: str, loops: float, *runs: dict[str, Any], broker: str = "a broker") -> dict[str, Any]:
    return {
        "at": at,
        "machine": {"cpus": 2, "cpu": "a CPU", "python": "3.11.7", "loops": loops, "loops_at_end": loops + 1},
        "broker": broker,
        "settings": {},
        "commands": [f"python -m bench {' '.join(runs[0])}"],
        "runs": list(runs),
        "failed": [],
    }


def _cli(seconds: float) -> dict[str, Any]:
    return {"cli": {"streams --version": {"median": seconds}, "streams invoke": {"median": 2 * seconds}}}


def test_each_measure_has_its_runs_in_order() -> None:
    """However many files they are in; a run has what was measured so often."""
    kill = {"kill": {"jobs": 1}}
    clis = _part("2026-01-01", 20, _cli(1), _cli(2))
    found = together([_part("2026-01-02", 30, kill), clis, _part("2026-01-03", 40, kill)])
    assert found["runs"] == [kill | _cli(1), kill | _cli(2)]
    assert (found["at"], found["broker"]) == ("2026-01-01", "a broker")
    assert (found["machine"]["loops"], found["machine"]["loops_at_end"]) == (20, 41)
    assert found["commands"] == ["python -m bench kill", "python -m bench cli", "python -m bench kill"]


def test_what_was_not_at_its_default_is_told() -> None:
    """In any of them."""
    odd = _part("2026-01-01", 20, _cli(1), broker="another") | {"settings": {"STREAMS_X": "1"}}
    found = together([odd, _part("2026-01-01", 20, _cli(2))])
    assert (found["settings"], found["broker"]) == ({"STREAMS_X": "1"}, "a broker and another")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """With a place for the table."""
    found = tmp_path / "page.md"
    found.write_text(f"{BEGIN}\n{END}\n")
    put(found, "old")
    return found


def test_the_table_is_written_from_files(
    tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the median of all files, and the broker's name if it is given."""
    for number in range(3):
        (tmp_path / f"{number}.json").write_text(json.dumps(_part("2026-01-01", 20, _cli(0.1 * (number + 1)))))
    files = [str(tmp_path / f"{number}.json") for number in range(3)]
    monkeypatch.setattr("sys.argv", ["bench", "table", *files, "--page", str(page), "--broker", "Kafka itself"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    text = page.read_text()
    assert "| `streams --version` | 0.2 s | 0.1 s to 0.3 s | <= 0.25 s | yes |" in text
    assert "Kafka itself" in text
    assert "3 x  python -m bench cli\n" in text
    assert str(page) in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"runs": []}'])
def test_a_file_without_figures_is_named(
    text: str, tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the page stays as it was."""
    before = page.read_text()
    (tmp_path / "odd.json").write_text(text)
    monkeypatch.setattr("sys.argv", ["bench", "table", str(tmp_path / "odd.json"), "--page", str(page)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "odd.json" in capsys.readouterr().err
    assert page.read_text() == before


def test_a_table_needs_files() -> None:
    """At least one."""
    with pytest.raises(SystemExit):
        parse(["table"])
