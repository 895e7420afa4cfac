"""Numbers of invocations by status, and by a field as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from streams.cli.show.fitting import Column, fitting, plain
from streams.cli.show.invocations import STYLES
from streams.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.table import Table

Group = dict[str, Any]
"""`counts`: numbers by status. `value`: that of the field, absent where there is none."""


def count_table(found: Mapping[str, Any], width: int | None) -> Table:
    """The API's answer: statuses with their numbers; by a field, a row for each of its values, the largest first."""
    sums = {str(status): found["counts"][status] for status in Status if found["counts"].get(status)}
    groups = found.get("groups")
    if groups is None:
        columns = [Column("status"), Column("invocations", right=True)]
        rows = [plain(Text(name, style=STYLES.get(name, "")), f"{number:,}") for name, number in sums.items()]
        return fitting(columns, [*rows, plain("all", f"{found['total']:,}")], width)
    columns = [
        Column(found["group_by"].removesuffix("_id"), least=12, fold=True),
        Column("all", right=True),
        *(Column(name, rank=1, right=True) for name in sums),
    ]
    rows = [
        plain(
            "-" if group.get("value") is None else group["value"],
            f"{sum(group['counts'].values()):,}",
            *(f"{group['counts'][name]:,}" if group["counts"].get(name) else "" for name in sums),
        )
        for group in largest_first(groups)
    ]
    last = plain("all", f"{found['total']:,}", *(f"{number:,}" for number in sums.values()))
    return fitting(columns, [*rows, last], width)


def largest_first(groups: Iterable[Group]) -> list[Group]:
    """Groups by their numbers, then by their values."""
    return sorted(groups, key=lambda group: (-sum(group["counts"].values()), group.get("value") or ""))
