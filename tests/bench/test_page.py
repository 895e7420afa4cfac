"""The table of targets: what is found in the figures, what is reached, and where it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.lib.page import BEGIN, END, put, settings_line, table
from bench.lib.targets import GOALS, Goal, shown, values
from bench.peers import naive
from bench.peers.restate import measure as restate

ROOT = Path(__file__).parents[2]


def _run(speed: float) -> dict[str, Any]:
    """Figures of a run in which only some was measured."""
    ended = {"ended_per_second": 200_000 * speed, "log_records_per_ended": 0.0004}
    return {
        "kill": {
            "jobs": {"never started, alone": ended, "never started, with pings": ended},
            "peers": {
                restate.ENDPOINT: {"ended_per_second": 16_000},
                restate.ENDPOINT_PINGS: {"ended_per_second": 10_000},
            },
        },
        "apply": {
            "jobs": {"invoke": {"per_second": 30_000 * speed}},
            "peers": {naive.OWN: {"per_second": 30_000 * speed}, naive.QUIX: {"per_second": 10_000}},
        },
    }


def _figures(*runs: dict[str, Any]) -> dict[str, Any]:
    machine = {"cpus": 2, "cpu": "a CPU", "python": "3.11.7", "loops": 30.0, "loops_at_end": 29.0}
    return {
        "at": "2026-01-02T03:04:05+00:00",
        "machine": machine,
        "broker": "a broker",
        "settings": {},
        "about": "a million rows",
        "commands": ["python -m bench all --runs 3"],
        "runs": list(runs),
    }


def _line(text: str, *words: str) -> str:
    (line,) = [each for each in text.splitlines() if all(word in each for word in words)]
    return line


def test_a_line_has_median_spread_and_target() -> None:
    """And whether the median is within it."""
    text = table(_figures(_run(1.0), _run(2.0), _run(1.5)))
    assert (
        _line(text, "`Invoke` applied")
        == "| `Invoke` applied, START signal included | 45,000/s | 30,000/s to 60,000/s |  |  |"
    )
    assert _line(text, "Restate's endpoint alone", "18.8").endswith("| x 12.5 to x 25 | >= x 14 | yes |")
    assert _line(text, "Quix Streams", "x 4.5").endswith("| x 3 to x 6 | >= x 4 | yes |")


def test_what_is_missed_is_told() -> None:
    """By the median."""
    text = table(_figures(_run(1.0)))
    assert _line(text, "Quix Streams", "| x 3 |").endswith("| x 3 |  | >= x 4 | **no** |")


def test_what_was_not_measured_is_told() -> None:
    """Such as what needs a peer that is not installed."""
    text = table(_figures(_run(1.0)))
    assert _line(text, "of Faust").endswith("| not measured | | >= x 50 | |")


def test_every_goal_has_its_line() -> None:
    """Also when nothing was measured."""
    lines = table(_figures()).splitlines()
    assert sum(line.startswith("| ") for line in lines) == len(GOALS) + 2


def test_the_table_says_on_what_it_was_measured() -> None:
    """Machine, broker, settings, runs and commands, and how often each."""
    commands = ["python -m bench kill", "python -m bench apply", "python -m bench kill"]
    text = table(_figures(_run(1.0), _run(1.0)) | {"settings": {"STREAMS_X": "1"}, "commands": commands})
    for part in ("2 processors (a CPU)", "a broker", "`STREAMS_X=1`", "**Runs:** 2, begun 2026-01-02"):
        assert part in text
    assert "\n2 x  python -m bench kill\n1 x  python -m bench apply\n" in text
    assert settings_line({}) == "all settings at their defaults"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "", "0"),
        (0.0004, "", "0.0004"),
        (3, "x", "x 3"),
        (18.75, "x", "x 18.8"),
        (0.249, "s", "0.249 s"),
        (1e6, "/s", "1,000,000/s"),
    ],
)
def test_figures_have_as_many_digits_as_say_something(value: float, unit: str, text: str) -> None:
    """With their unit."""
    assert shown(value, unit) == text


def test_a_bound_itself_is_within() -> None:
    """On both sides."""
    goal = Goal("", "kill", lambda _: 0.0, least=2, most=3)
    assert [goal.reached([value]) for value in (1.9, 2, 3, 3.1)] == [False, True, True, False]


def test_runs_without_a_figure_do_not_count() -> None:
    """The others do."""
    goal = Goal("", "kill", lambda figures: float(figures["n"]))
    assert values(goal, [{"kill": {"n": 1}}, {}, {"kill": {}}, {"kill": {"n": 4}}]) == [1.0, 4.0]


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    """Again and again."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for text in ("one", "two"):
        put(page, text)
    assert page.read_text() == f"before\n{BEGIN}\ntwo\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"])
def test_a_page_without_both_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    """And the error names it."""
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=r"page\.md"):
        put(page, "new")
    assert page.read_text() == text


def test_the_page_of_figures_has_its_markers(tmp_path: Path) -> None:
    """So a run can write its table."""
    page = tmp_path / "page.md"
    page.write_text((ROOT / "docs" / "performance.md").read_text(encoding="utf-8"))
    put(page, "the table")
    assert "the table" in page.read_text()
