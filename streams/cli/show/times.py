"""Points in time and durations in typed form."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from streams.clock import wall_clock

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,15}))?(ms|s|m|h|d|w)")
_LAST_MS = 253_402_300_799_999
_DURATION = re.compile(rf"(?:{_PART.pattern})+")


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as `90s`, `500ms` or `1h30m`.

    Raises:
        typer.BadParameter: it is not a duration, or not a whole number of milliseconds.
    """
    if not _DURATION.fullmatch(text):
        raise typer.BadParameter(
            f"{text!r} is not a duration: write a number and a unit (ms, s, m, h, d, w), like 1h30m"
        )
    total = 0
    for whole, fraction, unit in _PART.findall(text):
        milliseconds, rest = divmod(int(whole + fraction) * _UNITS_MS[unit], 10 ** len(fraction))
        if rest:
            raise typer.BadParameter(f"{text!r} is not a whole number of milliseconds: write one, like 1500ms")
        total += milliseconds
    return total


def point_ms(text: str, now_ms: int | None = None) -> int:
    """Milliseconds since 1970 of an ISO time, UTC when it names no zone, or of a duration before now such as `2h`.

    Raises:
        typer.BadParameter: it is neither.
    """
    if not _DURATION.fullmatch(text):
        return _iso_ms(text, "how long ago")
    point = _now_or(now_ms) - duration_ms(text)
    if point < 0:
        raise typer.BadParameter(f"{text} ago lies before 1970: there is nothing that old")
    return point


def future_ms(text: str, now_ms: int | None = None) -> int:
    """Like `point_ms`, but a duration counts from now on.

    Raises:
        typer.BadParameter: it is neither, or lies after the year 9999.
    """
    if not _DURATION.fullmatch(text):
        return _iso_ms(text, "how long from now")
    point = _now_or(now_ms) + duration_ms(text)
    if point > _LAST_MS:
        raise typer.BadParameter(f"{text} from now lies after the year 9999")
    return point


def duration_of(option: str, text: str | None) -> int | None:
    """The duration given for an option, ms; an error names the option."""
    return _of(option, duration_ms, text)


def future_of(option: str, text: str | None) -> int | None:
    """The future time given for an option, ms since 1970; an error names the option."""
    return _of(option, future_ms, text)


def _of(option: str, read: Callable[[str], int], text: str | None) -> int | None:
    try:
        return None if text is None else read(text)
    except typer.BadParameter as error:
        error.param_hint = option
        raise


def _now_or(now_ms: int | None) -> int:
    return wall_clock() if now_ms is None else now_ms


def _iso_ms(text: str, otherwise: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a point in time: write an ISO time like 2026-01-31T18:00:00Z, or {otherwise}, like 2h"
        ) from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


def iso(at_ms: int) -> str:
    """A point in time for people: UTC, to the second. One beyond the calendar stays a number."""
    if not 0 <= at_ms <= _LAST_MS:
        return f"{at_ms} ms"
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def ms_of(text: str | int) -> int:
    """Milliseconds since 1970 of a time in a record's JSON form."""
    return text if isinstance(text, int) else round(datetime.fromisoformat(text).timestamp() * 1_000)


def ago(at_ms: int, now_ms: int) -> str:
    """The time between two points, in its largest unit: 5s, 3m, 2h, 6d. A point that lies ahead has a + before it."""
    seconds = abs(now_ms - at_ms) // 1_000
    before = "+" if at_ms > now_ms else ""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{before}{seconds // length}{unit}"
    return f"{before}{seconds}s"
