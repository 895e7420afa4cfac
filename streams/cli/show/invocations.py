"""Invocations for people: a list, one of them, and counts. All of them are in the JSON form that the API gives."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from streams.cli.show.fitting import Column, fitting, plain
from streams.cli.show.times import ago, iso, ms_of
from streams.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

STYLES: Final[dict[str, str]] = {
    Status.RUNNING: "cyan",
    Status.COMPLETED: "green",
    Status.CANCELLING: "yellow",
    Status.CANCELLED: "yellow",
    Status.PAUSED: "yellow",
    Status.FAILED: "red",
    Status.KILLED: "red",
}
_COLUMNS: Final = (
    Column("invocation", least=36, fold=True),
    Column("status"),
    Column("handler", least=20),
    Column("since", right=True),
    Column("created", rank=2, right=True),
    Column("attempt", rank=3, right=True),
    Column("ended by", rank=4, least=12),
    Column("flow", rank=5, least=10),
    Column("labels", rank=6, least=12),
)
_ENDED: Final[dict[str, str]] = {Status.KILLED: "killed by", Status.CANCELLED: "cancelled by"}
_DUE: Final[dict[str, str]] = {
    Status.SCHEDULED: "starts",
    Status.BACKING_OFF: "tries again",
    Status.RUNNING: "lease ends",
    Status.READY: "lease ends",
}


def listed_invocations(
    items: Sequence[Mapping[str, Any]], width: int | None, now: int, *, header: bool = True
) -> Table:
    """Invocations as a table, one a row. Without a terminal, times are whole; on one, how long ago."""
    rows = [_row(item, None if width is None else now) for item in items]
    empty = [n for n in range(len(_COLUMNS)) if _COLUMNS[n].rank and not any(row[n].plain for row in rows)]
    kept = [n for n in range(len(_COLUMNS)) if n not in empty]
    return fitting([_COLUMNS[n] for n in kept], [[row[n] for n in kept] for row in rows], width, header=header)


def _row(item: Mapping[str, Any], now: int | None) -> list[Text]:
    def time(name: str) -> str:
        at = ms_of(item[name])
        return iso(at) if now is None else ago(at, now)

    return plain(
        item["invocation_id"],
        _status(item["status"]),
        f"{item['service']}/{item['handler']}",
        time("modified_at"),
        time("created_at"),
        item.get("attempt"),
        _by_whom(item),
        item.get("flow_id"),
        " ".join(f"{key}={value}" for key, value in item.get("labels", {}).items()),
    )


def _status(status: str) -> Text:
    return Text(status, style=STYLES.get(status, ""))


def _by_whom(item: Mapping[str, Any]) -> str:
    """Who is ending it, or has ended it, and why, in short."""
    ending = item.get("ending") or {}
    cause = ending.get("cause") or {}
    told = [cause[name] for name in ("actor", "reason") if cause.get(name)] or [ending.get("error") or ""]
    return ": ".join(told).replace("\n", " ")


def invocation_table(item: Mapping[str, Any], now: int) -> Table:
    """One invocation, with what is known of it."""
    grid = Table(show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(item, now):
        grid.add_row(name, value if isinstance(value, Text) else Text(value))
    return grid


def _facts(item: Mapping[str, Any], now: int) -> Iterator[tuple[str, str | Text]]:
    yield "invocation", item["invocation_id"]
    yield "status", _status(item["status"]).append(_beside(item), "default")
    yield "since", _moment(item["modified_at"], now)
    yield from _ending(item, now)
    yield from (("waits for", each) for each in _holders(item))
    yield "handler", f"{item['service']}/{item['handler']}"
    yield "attempt", f"{item['attempt']:,}"
    yield "created", _moment(item["created_at"], now)
    for field, name in (("scheduled_at", "scheduled"), ("due_at", _DUE.get(item["status"], ""))):
        if name and item.get(field) is not None:
            yield name, _moment(item[field], now)
    yield from _names(item)
    if item.get("children") is not None:
        yield "children", _family(item["children"])
    yield "place", f"partition {item['partition']}, offset {item['seq']}"
    if item.get("payload") is not None:
        yield "payload", payload_text(item["payload"])


def _names(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = {"object_key": "object", "deployment_id": "deployment", "flow_id": "flow", "parent_id": "parent"}
    for field, name in names.items():
        if item.get(field) is not None:
            yield name, item[field]
        asked = item.get(f"requested_{field}")
        if asked is not None and asked != item.get(field):
            yield "meant for", f"deployment {asked}"
    for key, value in sorted(item.get("labels", {}).items()):
        yield "label", f"{key}={value}"


def _moment(at: str | int, now: int) -> str:
    point = ms_of(at)
    how_long = ago(point, now)
    return f"{iso(point)}, {f'in {how_long[1:]}' if how_long.startswith('+') else f'{how_long} ago'}"


def _beside(item: Mapping[str, Any]) -> str:
    """What the status alone does not say."""
    if item.get("paused_from") is not None:
        return f", was {item['paused_from']}"
    return ", held" if item.get("held") else ""


def _ending(item: Mapping[str, Any], now: int) -> Iterator[tuple[str, str]]:
    ending = item.get("ending")
    if ending is None:
        return
    cause = ending.get("cause") or {}
    whose = _ENDED.get(item["status"], "asked to end by")
    for field, name in (("actor", whose), ("reason", "reason"), ("batch_id", "by batch"), ("flow_id", "by flow")):
        if cause.get(field):
            yield name, cause[field]
    if ending.get("error"):
        yield "error", ending["error"]
    if ending.get("grace_until") is not None and item["status"] == Status.CANCELLING:
        until = ms_of(ending["grace_until"])
        how_long = ago(until, now)
        passed = "over" if not how_long.startswith("+") else f"for {how_long[1:]} more"
        yield "grace", f"{passed}, until {iso(until)}; then {ending.get('on_timeout', 'KILL')}"


def _holders(item: Mapping[str, Any]) -> Iterator[str]:
    held = item.get("held_by") or {}
    if held.get("invocation_id") is not None:
        yield f"invocation {held['invocation_id']}, which has its object"
    if held.get("batch_id") is not None:
        yield f"batch {held['batch_id']}, which is about to end it"
    if held.get("flow_id") is not None:
        yield f"flow {held['flow_id']}, which is being cancelled"
    if held.get("parent_id") is not None:
        yield f"invocation {held['parent_id']}, whose children are being cancelled"


def _family(children: Mapping[str, Any]) -> str:
    names = ("live", "pending", "ended", "kept", "failed")
    counts = [f"{children[name]:,} {name}" for name in names if children.get(name)]
    return f"{children['state']}: {', '.join(counts) or 'none'}"


def payload_text(base64: str) -> str:
    """A payload as text if it is text, else as base64."""
    data = b64decode(base64)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    shown = all(char.isprintable() or char in "\n\t" for char in text)
    return text if text and shown else f"{len(data):,} bytes, base64: {base64}" if data else "empty"
