"""Points in time and durations as people type them."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from streams.cli.show.times import duration_ms, iso, point_ms


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("500ms", 500),
        ("0s", 0),
        ("90s", 90_000),
        ("1.5h", 5_400_000),
        ("1.1h", 3_960_000),
        ("1.5s", 1_500),
        ("1h30m", 5_400_000),
        ("2d", 172_800_000),
        ("1w", 604_800_000),
        ("5m", 300_000),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, milliseconds: int) -> None:
    """Parts are added up; `ms` is never read as minutes."""
    assert duration_ms(text) == milliseconds


@pytest.mark.parametrize("text", ["0.4ms", "1.5ms", "1h0.5ms", "1.2345s"])
def test_a_fraction_of_a_millisecond_is_refused(text: str) -> None:
    """Rounded, a grace could become none at all."""
    with pytest.raises(typer.BadParameter, match="not a whole number of milliseconds"):
        duration_ms(text)


@pytest.mark.parametrize(
    "text", ["", "5", "h", "5 m", "-5m", "5x", "1h30", "1e3s", "\uff15m5", "9" * 400 + "h", "0." + "9" * 400 + "h"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    """A number without a unit is not a duration: nobody can know which was meant."""
    with pytest.raises(typer.BadParameter, match="1h30m"):
        duration_ms(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T18:00:00Z", "2026-01-31 18:00:00Z"),
        ("2026-01-31T18:00:00+02:00", "2026-01-31 16:00:00Z"),
        ("2026-01-31 18:00", "2026-01-31 18:00:00Z"),
        ("2026-01-31", "2026-01-31 00:00:00Z"),
    ],
)
def test_an_iso_time_without_a_zone_is_utc(text: str, expected: str) -> None:
    """The same command means the same in every time zone."""
    assert iso(point_ms(text)) == expected


@given(now=st.integers(min_value=10**12, max_value=10**13), minutes=st.integers(min_value=0, max_value=10_000))
def test_a_duration_is_a_point_that_long_ago(now: int, minutes: int) -> None:
    """`2h` is two hours before now."""
    assert point_ms(f"{minutes}m", now) == now - minutes * 60_000


@pytest.mark.parametrize("text", ["yesterday", "31.01.2026", "18:00"])
def test_what_is_no_point_in_time_is_refused_with_examples(text: str) -> None:
    """Both ways to write one are shown."""
    with pytest.raises(typer.BadParameter, match=r"ISO time like .* or how long ago"):
        point_ms(text)


def test_a_time_that_no_calendar_has_stays_a_number() -> None:
    """A client may have sent it, and its batch must still be shown."""
    assert (iso(2**60), iso(-5)) == (f"{2**60} ms", "-5 ms")


def test_a_point_before_1970_is_refused() -> None:
    """No record is that old, and its time would be no time at all."""
    with pytest.raises(typer.BadParameter, match="before 1970"):
        point_ms("99999999w")
