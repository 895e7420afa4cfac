"""Write `docs/tables.md` from the engine's own tables: which command finds which status, and what follows.

make docs
"""  # noqa: INP001 - a program, no package

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from streams.engine.dispatch import HANDLERS
from streams.engine.lifecycle import ENDED_BY, REPORTS, VERDICTS, Verdict
from streams.model import STARTED, TERMINAL, UNSTARTED, Action, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE: Final = Path(__file__).parents[1] / "docs" / "tables.md"

HEAD = """\
# Commands and statuses

Made from the engine's own tables by `scripts/tables_page.py`; do not edit. `tests/docs/test_tables.py` applies every
command to an invocation of every status and finds what stands here. `+ KILL`: with a KILL signal to the executor, and
so on; `READY + START` is always the next attempt. *Skipped* and *ignored* change nothing, and are counted.

## Actions, and time

By an `Act` or by a page of a batch; *due* is what a `Tick` does once the time of the row has come.

"""
AFTER_ACTIONS = """
- Of a paused invocation that was never started, RESUME makes what its `Invoke` would make now, and so does RESTART of
  any that has ended, in its old place: SCHEDULED if its time is still to come, else READY + START. RESTART skips what
  was adopted: it ran elsewhere, and nothing here can start it.
- RESUME and RESTART skip what a running CANCEL or KILL would then end: it stays as it is.
- An invocation of an object is PENDING where another one would be READY + START for the first time; then, as whenever
  one of its object has ended or been paused in the inbox, the first that waits is READY + START if none is started.
- An unanswered cancel that is due is asked again; once its grace is over, `on_timeout` KILL kills it, LEAVE leaves it
  CANCELLING: another CANCEL then asks once more, with a new grace.
- A page of a batch only looks at what its action could concern: PURGE and RESTART match what has ended, every other
  action what has not. The rest counts as *skipped* for an `Act`, and not at all for a batch.
- An `Act` with `only_unstarted` skips whatever was ever started, one with a `seq` any other invocation of the id.
- An `Invoke` of an id that the table holds changes nothing, whatever its status: with the same content it is counted,
  with other content it is a dead letter, `conflicting_invoke`.

## Reports

A `ReportTransition` of the row's attempt, with its seq and a higher number than the last, where it gives them; any
other is ignored, and so is every status that has no column here.

"""
COMMANDS = """
## Every command

What the engine does with each, in the order of its dispatch.

"""


class Standing(NamedTuple):
    """A row of the tables: a status, and where a paused invocation was paused from."""

    name: str
    status: Status
    paused_from: frozenset[Status] = frozenset()

    @property
    def stands_at(self) -> frozenset[Status]:
        """The status, or those that it may have been paused from."""
        return self.paused_from or frozenset({self.status})


STANDINGS: Final = [
    standing
    for status in Status
    for standing in (
        (
            Standing("PAUSED, never started", status, UNSTARTED),
            Standing("PAUSED, started", status, STARTED - {Status.CANCELLING}),
        )
        if status is Status.PAUSED
        else (Standing(status, status),)
    )
]
UNKNOWN: Final = "unknown id"
SKIPPED: Final = "skipped"
IGNORED: Final = "ignored"
STARTS: Final = "READY + START"
SCHEDULED_OR_STARTS: Final = f"SCHEDULED or {STARTS}"
DUE: Final = {
    **dict.fromkeys((Status.SCHEDULED, Status.READY, Status.RUNNING, Status.BACKING_OFF), STARTS),
    Status.CANCELLING: "CANCELLING + CANCEL or KILLED + KILL or CANCELLING",
}
"""What time does; a status that is not a key is never due."""


def after(action: Action, standing: Standing) -> str:
    """What the table of verdicts says."""
    by_status = VERDICTS[action]
    keys = {standing.status} if standing.status in by_status else standing.stands_at
    (verdict,) = {by_status[key] for key in keys}
    resumed = SCHEDULED_OR_STARTS if standing.stands_at <= UNSTARTED else STARTS
    return {
        Verdict.SKIP: SKIPPED,
        Verdict.END: str(ENDED_BY.get(action)),
        Verdict.STOP: "KILLED + KILL",
        Verdict.ASK: "CANCELLING + CANCEL",
        Verdict.SHELVE: "PAUSED",
        Verdict.HALT: "PAUSED + PAUSE",
        Verdict.GO_ON: resumed,
        Verdict.REMOVE: "removed",
        Verdict.LIVE_AGAIN: SCHEDULED_OR_STARTS,
    }[verdict]


def reported(to: Status, standing: Standing) -> str:
    """What the table of reports says; a paused row can only end."""
    allowed = standing.stands_at <= REPORTS[to] and (to in TERMINAL or not standing.paused_from)
    return str(to) if allowed else IGNORED


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table as Markdown."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def document() -> str:
    """The page as it should be."""
    actions = [
        *([each.name, *(after(action, each) for action in Action), DUE.get(each.status, "")] for each in STANDINGS),
        [UNKNOWN, *(SKIPPED for _ in Action), ""],
    ]
    reports = [
        *([each.name, *(reported(to, each) for to in REPORTS)] for each in STANDINGS),
        [UNKNOWN, *(IGNORED for _ in REPORTS)],
    ]
    commands = [
        [f"`{command.__name__}`", (handler.__doc__ or "").split("\n")[0]] for command, handler in HANDLERS.items()
    ]
    return "".join(
        (
            HEAD,
            table(["status", *Action, "due"], actions),
            AFTER_ACTIONS,
            table(["status", *REPORTS], reports),
            COMMANDS,
            table(["command", "what it does"], commands),
        )
    )


if __name__ == "__main__":
    PAGE.write_text(document(), encoding="utf-8")
