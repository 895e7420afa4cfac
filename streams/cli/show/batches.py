"""Batches as a list for people: a line each, and below it how far it is, whom it is about, who asked and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.text import Text

from streams.cli.options.bounds import standing_of
from streams.cli.options.selection import describe
from streams.cli.show.bar import STYLES, outcomes
from streams.cli.show.console import out
from streams.cli.show.times import iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.model import BatchProgress

_HEADER: Final = ("batch", "action", "state", "created")
_USUAL_ID: Final = 36
_BETWEEN: Final = " · "


def listed_batches(batches: Sequence[BatchProgress], width: int | None) -> Iterator[Text]:
    """The lines of a list, at most `width` wide; without a width, a line for each batch."""
    rows = [(each.batch_id, each.action, each.state, iso(each.created_at)) for each in batches]
    # A longer id shifts the rest of its own line only.
    usual = [row for row in rows if cell_len(row[0]) <= _USUAL_ID]
    widths = [max(len(name), *(cell_len(row[n]) for row in usual or rows)) for n, name in enumerate(_HEADER)]
    yield Text(_padded(_HEADER, widths), "bold")
    for row, each in zip(rows, batches, strict=True):
        line = Text(_padded(row, widths)).append("")
        line.highlight_words([each.state], STYLES.get(each.state, "cyan"))
        about = _BETWEEN.join(_about(each))
        if width is None:
            yield line.append(f"  {about}")
            continue
        yield from line.wrap(out, width, overflow="fold")
        yield from (Text("  ").append_text(part) for part in Text(about).wrap(out, width - 2, overflow="fold"))


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True)]
    return "  ".join(cells).rstrip()


def _about(progress: BatchProgress) -> Iterator[str]:
    yield f"{'dry run: ' if progress.dry_run else ''}{outcomes(progress)}"
    if stands := standing_of(progress):
        yield stands
    if progress.error is not None:
        yield progress.error
    yield describe(progress.filter, progress.invocation_ids_count)
    whose = None if progress.actor is None else f"by {progress.actor}"
    if told := [each for each in (whose, progress.reason) if each]:
        yield ": ".join(told).replace("\n", " ")
