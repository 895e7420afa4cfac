"""The message for a filter that matches nothing: a misspelt name looks the same as work that is done."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from streams.cli.options.selection import describe
from streams.cli.show.console import err
from streams.client import BrokerUnavailableError, ProgressReader
from streams.model import ON_ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.cli.context import Connection
    from streams.model import Action, BatchProgress, Filter

_NAMED: Final = {
    "services": "service",
    "handlers": "handler",
    "object_keys": "object key",
    "deployment_ids": "deployment",
}
_LOOKED_FOR_S: Final = 5.0


def tell_nothing_matched(connection: Connection, chosen: Filter, action: Action) -> None:
    """Say on stderr that nothing matched, with known names that are similar to those in the filter.

    The names come from filters of earlier batches that matched something: the topics have no other list of names.
    """
    which = "invocations" if chosen.match_all else describe(chosen)
    ended = "have ended" if action in ON_ENDED else "have not ended"
    err.print(f"nothing matches: there are no {which} that {ended}", markup=False)
    try:
        earlier = ProgressReader(*connection).latest(_LOOKED_FOR_S).values()
    except BrokerUnavailableError:
        return
    for line in near_names(chosen, earlier):
        err.print(line, markup=False)


def near_names(chosen: Filter, earlier: Iterable[BatchProgress]) -> list[str]:
    """For each name in the filter with which no earlier batch alone has matched, a line with the nearest that has."""
    found = [each.filter for each in earlier if each.matched]
    lines = []
    for field, name in _NAMED.items():
        known = {value for each in found if len(values := getattr(each, field) or ()) == 1 for value in values}
        for asked in getattr(chosen, field) or ():
            near = get_close_matches(asked, known - {asked}, 1)
            if asked not in known and near:
                lines.append(f"{name} {asked}: did you mean {near[0]}? An earlier batch has found that")
    return lines
