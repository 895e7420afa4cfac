"""The table of targets in docs/performance.md, between two marker comments."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.lib.targets import GOALS, Goal, shown, values

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BEGIN, END = "<!-- bench all: begin -->", "<!-- bench all: end -->"
_HEAD = "| figure | median | least to most | target | reached |\n| --- | --- | --- | --- | --- |"
_NOT_MEASURED = "not measured"


def table(figures: dict[str, Any]) -> str:
    """The text between the markers: on what it was measured, by which commands, and a line for each figure.

    `figures`: `at`, `machine`, `broker`, `settings`, `about` (how much of it), `commands` and `runs`, each
    with its measures by name.
    """
    on, runs = figures["machine"], figures["runs"]
    speed = f"{on['loops']} to {on['loops_at_end']} million additions per second in a plain loop"
    facts = [
        f"- **Machine:** {on['cpus']} processors ({on['cpu']}), Python {on['python']}; {speed}.",
        f"- **Broker:** {figures['broker']}.",
        f"- **Configuration:** {settings_line(figures['settings'])}; {figures['about']}.",
        f"- **Runs:** {len(runs)}, begun {figures['at'][:10]}:",
    ]
    times = [f"{number} x  {command}" for command, number in Counter(figures["commands"]).items()]
    return "\n".join(
        [*facts, "", "```", *times, "```", "", _HEAD, *[_line(goal, values(goal, runs)) for goal in GOALS]]
    )


def settings_line(not_default: dict[str, str]) -> str:
    """Which settings of workers were not at their defaults."""
    if not not_default:
        return "all settings at their defaults"
    named = ", ".join(f"`{name}={value}`" for name, value in sorted(not_default.items()))
    return f"all settings at their defaults, where it is measured but for {named}"


def put(page: Path, text: str) -> None:
    """Replace the text between the markers.

    Raises:
        ValueError: the page has not both of them, in order, once.
    """
    whole = page.read_text(encoding="utf-8")
    before, begins, rest = whole.partition(BEGIN)
    _, ends, after = rest.partition(END)
    if not begins or not ends or BEGIN in rest or END in after or END in before:
        raise ValueError(f"{page} must have {BEGIN} and then {END}, each once")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _line(goal: Goal, found: Sequence[float]) -> str:
    if not found:
        return f"| {goal.what} | {_NOT_MEASURED} | | {goal.target} | |"
    middle, least, most = (shown(each, goal.unit) for each in (median(found), min(found), max(found)))
    spread = f"{least} to {most}" if len(found) > 1 else ""
    reached = "" if not goal.target else "yes" if goal.reached(found) else "**no**"
    return f"| {goal.what} | {middle} | {spread} | {goal.target} | {reached} |"
