"""Tables that fit the terminal: where the room is short, columns are left out, cut or folded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from streams.cli.show.console import out, print_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = 2
_NARROW = 12
"""Width to which columns shrink that can, on a terminal that is narrower than they should be."""


class Column(NamedTuple):
    """A column. Those of the highest rank are left out first; rank 0 always stays.

    `least`: the narrowest that it may be; None: as wide as its values. `fold`: a longer value goes on in the next line,
    else it is cut.
    """

    name: str
    rank: int = 0
    least: int | None = None
    right: bool = False
    fold: bool = False


def fitting(
    columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int | None, *, header: bool = True
) -> Table:
    """The rows as a table of at most `width` characters, if that can be; None: as wide as it needs to be."""
    natural = [max([len(each.name), *(row[n].cell_len for row in rows)]) for n, each in enumerate(columns)]
    widths = dict(enumerate(natural)) if width is None else _widths(columns, natural, width)
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_header=header)
    for n in widths:
        each = columns[n]
        table.add_column(
            each.name,
            justify="right" if each.right else "left",
            width=widths[n],
            no_wrap=not each.fold,
            overflow="fold" if each.fold else "ellipsis",
        )
    for row in rows:
        table.add_row(*(row[n] for n in widths))
    return table


def _widths(columns: Sequence[Column], natural: Sequence[int], width: int) -> dict[int, int]:
    """The widths of the columns that stay, by number."""
    least = [size if each.least is None else min(size, each.least) for each, size in zip(columns, natural, strict=True)]
    kept = list(range(len(columns)))

    def left() -> int:
        return width - sum(least[n] + _GAP for n in kept) + _GAP

    while left() < 0 and any(columns[n].rank for n in kept):
        kept.remove(max(kept, key=lambda n: (columns[n].rank, n)))
    # What is cut is lost, what is folded is not: it shrinks last, and grows last.
    for n in sorted(kept, key=lambda n: columns[n].fold):
        if columns[n].least is not None and left() < 0:
            least[n] = min(least[n], _NARROW)
    for n in sorted(kept, key=lambda n: columns[n].fold):
        least[n] += max(0, min(left(), natural[n] - least[n]))
    return {n: least[n] for n in kept}


def terminal_width() -> int | None:
    """The width that there is on stdout; None without a terminal, where a program may read whole lines."""
    return out.width if out.is_terminal else None


def print_fitting(table: Table) -> None:
    """Print a table made for this room."""
    if terminal_width() is None:
        print_whole(table)
    else:
        Console(highlight=False).print(table)


def plain(*values: object) -> list[Text]:
    """The values as cells; None is empty."""
    return [value if isinstance(value, Text) else Text("" if value is None else str(value)) for value in values]
