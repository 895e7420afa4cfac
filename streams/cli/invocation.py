"""`invocation`: look at one, list them, count them, by the gateway's API."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streams.cli.completion import invocation_ids
from streams.cli.gateway import gateway_of_command
from streams.cli.options.ids_file import fits_a_line
from streams.cli.options.looking import Grouping, ListOptions, Looking, Watch
from streams.cli.options.sending import Json  # noqa: TC001 - Typer reads the annotations
from streams.cli.options.takes import Choosing, takes
from streams.cli.show.console import Exit, err, print_error, print_json
from streams.cli.show.counts import count_table
from streams.cli.show.fitting import print_fitting, terminal_width
from streams.cli.show.invocations import invocation_table, listed_invocations
from streams.cli.show.watching import WatchedTable, watch_table
from streams.clock import wall_clock
from streams.errors import StreamsError
from streams.model import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streams.cli.gateway import Gateway, ListPage
    from streams.model import Filter

app = typer.Typer(
    no_args_is_help=True, help="Look at invocations, by the gateway. Example: streams invocation list --status failed"
)

_LIMIT: Final = 50
_NOT_LISTED: Final = "what they hold is not listed"
_NOT_COUNTED: Final = "what they hold is not counted"
_InvocationId = Annotated[
    str, typer.Argument(help="The invocation's id.", show_default=False, autocompletion=invocation_ids)
]


@app.command()
def show(
    invocation_id: _InvocationId,
    *,
    payload: Annotated[bool, typer.Option("--payload", metavar="", help="With its payload.")] = False,
    watch: Watch = False,
    json: Json = False,
) -> None:
    """Show one invocation: where it stands and since when, who ended it and why, what it waits for.

    Watched, until it has ended or Ctrl-C.

    Example: streams invocation show 019a5c1e-7f3a-7c40-8a5e-3b1f0c2d4e5f
    """
    _refuse_both({"--watch": watch, "--json": json})
    gateway = gateway_of_command()
    if watch:
        watch_table(
            lambda: _looked_at(gateway, invocation_id, payload=payload), until=lambda item: item["status"] in TERMINAL
        )
        return
    item = _found(gateway, invocation_id, payload=payload)
    if json:
        print_json(item)
    else:
        print_fitting(invocation_table(item, wall_clock()))


def _found(gateway: Gateway, invocation_id: str, *, payload: bool) -> dict[str, Any]:
    item = gateway.invocation(invocation_id, payload=payload)
    if item is None:
        raise StreamsError(
            f"there is no invocation {invocation_id}: the id is another, or it has ended and is forgotten; "
            "see `streams invocation list`"
        )
    return item


@app.command("list", cls=Choosing)
@takes(Looking, ListOptions)
def list_(selection: Looking, listing: ListOptions) -> None:
    """List invocations, newest first, with the filter options of `kill`.

    Exit code 3 if a partition gave no answer: what it holds is not listed.

    Example: streams invocation list --service billing --status failed --created-after 2h
    """
    _refuse_both({"--watch": listing.watch, "--json": listing.json, "--ids-only": listing.ids_only})
    _refuse_both({"--all": selection.all, "--limit": listing.limit is not None})
    goes_on = listing.cursor is not None
    _refuse_both({"--watch": listing.watch, "--cursor": goes_on})
    chosen = selection.filter()
    _refuse_both({"--cursor": goes_on, "--id or --ids-file": chosen.invocation_ids is not None})
    limit = None if selection.all else listing.limit or (_LIMIT if chosen.invocation_ids is None else None)
    gateway = gateway_of_command()
    if listing.watch:
        watch_table(lambda: _newest(gateway, chosen, limit))
        return
    pages = _Pages(gateway.pages(chosen, limit, listing.cursor))
    if listing.json:
        items = [item for page in pages for item in page.items]
        print_json({"invocations": items, **pages.end})
    elif listing.ids_only:
        _print_ids(pages)
    else:
        _print_tables(pages)
    if pages.next_cursor is not None and not pages.missing and not listing.json:
        err.print("there are more: --limit N shows N of them, --all every one", markup=False)
    raise typer.Exit(pages.told())


class _Pages:
    """Pages as they come, and what is known at their end."""

    def __init__(self, pages: Iterable[ListPage]) -> None:
        self._pages = pages
        self._as_of: str | None = None
        self.missing: tuple[int, ...] = ()
        self.next_cursor: str | None = None

    def __iter__(self) -> Iterator[ListPage]:
        for page in self._pages:
            self._as_of = min((at for at in (self._as_of, page.as_of) if at is not None), default=None)
            self.missing, self.next_cursor = tuple(page.missing), page.next_cursor
            yield page

    @property
    def end(self) -> dict[str, Any]:
        """The end of the list as JSON; `as_of`: when the oldest of it was true."""
        as_of = {} if self._as_of is None else {"as_of": self._as_of}
        cursor = {} if self.next_cursor is None else {"next_cursor": self.next_cursor}
        return {**as_of, "missing_partitions": self.missing, **cursor}

    def told(self) -> Exit:
        """The exit code; what is missing is told on stderr."""
        return tell_missing(self.missing, _NOT_LISTED)


def tell_missing(partitions: Iterable[int], so: str) -> Exit:
    """Say on stderr which partitions gave no answer; returns the exit code."""
    said = _missing(partitions, so)
    if not said:
        return Exit.OK
    print_error(said)
    return Exit.PARTIAL


def _missing(partitions: Iterable[int], so: str) -> str:
    named = ", ".join(map(str, partitions))
    return f"partitions that gave no answer: {named}; {so}. Do workers run that have them?" if named else ""


def _print_tables(pages: _Pages) -> None:
    shown = 0
    for page in pages:
        if page.items:
            print_fitting(listed_invocations(page.items, terminal_width(), wall_clock(), header=not shown))
            shown += len(page.items)
    if not shown and not pages.missing:
        err.print("no invocations")


def _print_ids(pages: _Pages) -> None:
    for page in pages:
        for item in page.items:
            name = item["invocation_id"]
            if fits_a_line(name):
                sys.stdout.write(f"{name}\n")
            else:
                print_error(f"{name!r} is left out: a file of ids cannot hold it; --id can")
        sys.stdout.flush()


def _newest(gateway: Gateway, chosen: Filter, limit: int | None) -> WatchedTable:
    pages = _Pages(gateway.pages(chosen, limit))
    items = [item for page in pages for item in page.items]
    return WatchedTable(
        listed_invocations(items, terminal_width(), wall_clock()), items, _missing(pages.missing, _NOT_LISTED)
    )


def _looked_at(gateway: Gateway, invocation_id: str, *, payload: bool) -> WatchedTable:
    item = _found(gateway, invocation_id, payload=payload)
    return WatchedTable(invocation_table(item, wall_clock()), item)


@app.command(cls=Choosing)
@takes(Looking, Grouping)
def count(selection: Looking, grouping: Grouping) -> None:
    """Count invocations by status, with the filter options of `kill`, and by a field as well.

    Exit code 3 if a partition gave no answer: what it holds is not counted.

    Example: streams invocation count --group-by service
    """
    _refuse_both({"--watch": grouping.watch, "--json": grouping.json})
    chosen = selection.filter()
    gateway = gateway_of_command()
    by = None if grouping.group_by is None else grouping.group_by.field
    if grouping.watch:
        watch_table(lambda: _counts(gateway, chosen, by))
        return
    found = gateway.counts(chosen, by)
    if grouping.json:
        print_json(found)
    else:
        print_fitting(count_table(found, terminal_width()))
    raise typer.Exit(tell_missing(found.get("missing_partitions", ()), _NOT_COUNTED))


def _counts(gateway: Gateway, chosen: Filter, by: str | None) -> WatchedTable:
    found = gateway.counts(chosen, by)
    missing = _missing(found.get("missing_partitions", ()), _NOT_COUNTED)
    return WatchedTable(count_table(found, terminal_width()), (found["counts"], found.get("groups")), missing)


def _refuse_both(given: dict[str, bool]) -> None:
    """Refuse options that exclude each other."""
    named = [name for name, is_given in given.items() if is_given]
    if len(named) > 1:
        raise typer.BadParameter(f"{named[0]} is given, too: leave one of them out", param_hint=named[1])
