"""The command lines of bench: what each measures, with which options, and where it leaves its figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.__main__ import MEASURES, PAGE, parse
from bench.lib.targets import GOALS

NAMES = [each.NAME for each in MEASURES]
PEERS = ("apply", "life", "kill", "cancel", "latency", "restore")
ASKED = (
    "apply",
    "life",
    "kill",
    "cancel",
    "flows",
    "latency",
    "growth",
    "needle",
    "restart",
    "restore",
    "memory",
    "list",
    "doomed",
    "batches",
    "retention",
    "http",
    "compare",
)


def test_all_that_is_asked_for_can_be_measured() -> None:
    """By its name, which is no other's."""
    assert set(ASKED) <= set(NAMES)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", [*NAMES, "all", "most"])
def test_each_writes_its_figures_where_it_is_told(name: str) -> None:
    """And takes a broker, and a number of runs."""
    options = parse([name, "--json", "there.json", "--broker", "here:9092", "--runs", "5"])
    assert (options.what, options.json, options.broker, options.runs) == (name, Path("there.json"), "here:9092", 5)


@pytest.mark.parametrize("each", MEASURES, ids=lambda each: each.NAME)
def test_the_first_line_of_each_is_its_help(each: object) -> None:
    """One sentence."""
    assert (each.__doc__ or "").splitlines()[0].endswith((".", ":"))


def test_others_are_measured_only_when_asked() -> None:
    """But for the run that writes the table of targets, where they can be left out."""
    assert [parse([name]).peers for name in PEERS] == [False] * len(PEERS)
    assert [parse([name, "--peers"]).peers for name in PEERS] == [True] * len(PEERS)
    assert parse(["all"]).peers
    assert not parse(["all", "--no-peers"]).peers


def test_all_measures_every_figure_that_has_a_target() -> None:
    """And has the options of each."""
    options = parse(["all", "--rows", "20000", "--sizes", "1000", "2000", "--haystack", "5000", "--commands", "3000"])
    assert {each.NAME for each in options.measures} == {goal.measure for goal in GOALS}
    assert (options.rows, options.sizes, options.haystack, options.commands) == (20_000, [1_000, 2_000], 5_000, 3_000)
    assert options.page == PAGE
    assert parse(["all", "--no-page"]).page is None


def test_what_takes_longest_is_measured_once() -> None:
    """In a run of all, unless it is told otherwise; by itself as often as it is told."""
    assert set(parse(["all"]).once) <= set(NAMES)
    assert "growth" in parse(["all"]).once
    assert parse(["all", "--once"]).once == []
    assert parse(["growth"]).once == []


def test_all_can_be_some() -> None:
    """And not of what has no target."""
    assert parse(["all", "--only", "kill", "growth"]).only == ["kill", "growth"]
    with pytest.raises(SystemExit):
        parse(["all", "--only", "http"])


def test_without_a_name_it_is_about_the_most_asked_for() -> None:
    """With or without options."""
    assert [each.NAME for each in parse([]).measures] == ["apply", "kill"]
    assert parse(["--rows", "7"]).rows == 7


def test_a_name_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The names that are known are listed."""
    with pytest.raises(SystemExit):
        parse(["applied"])
    assert "growth" in capsys.readouterr().err
