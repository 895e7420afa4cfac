"""Query parameters: each is known, given as often as it may be, and says what it says; or it is refused by name."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from difflib import get_close_matches
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec

from streams.codec.json_form import Fault, JsonFaultsError, from_json
from streams.gateway.api.faults import filter_faults
from streams.gateway.api.problems import FaultsError
from streams.gateway.newest import ListPlace
from streams.model import Action, Filter
from streams.protocol.typed_labels import read_label

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from fastapi import Request

_LISTS: Final = {
    "service": "services",
    "handler": "handlers",
    "object_key": "object_keys",
    "deployment_id": "deployment_ids",
    "status": "statuses",
    "flow_id": "flow_ids",
    "parent_id": "parent_ids",
    "invocation_id": "invocation_ids",
    "batch_id": "batch_ids",
}
_TIMES: Final = ("created_from", "created_until", "modified_from", "modified_until")
_NOT: Final = "not_"
FILTER: Final = (
    *_LISTS,
    "label",
    *_TIMES,
    *(_NOT + each for each in _LISTS if each != "invocation_id"),
    f"{_NOT}label",
    *(_NOT + each for each in _TIMES),
)
"""The parameters of a filter of invocations."""


class Parameters:
    """The parameters of a request.

    Raises:
        FaultsError: one is unknown: a misspelt filter must never mean "all".
    """

    def __init__(self, request: Request, known: Iterable[str]) -> None:
        known = tuple(known)
        self._values: dict[str, list[str]] = {}
        self.faults: list[Fault] = []
        query = request.scope.get("query_string", b"").decode("latin-1")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
        except ValueError:
            raise FaultsError([Fault("", "is not a query: its bytes are not UTF-8")]) from None
        for name, value in pairs:
            if name not in known:
                near = get_close_matches(name, known, 1)
                rest = f": did you mean {near[0]}?" if near else f"; there are {', '.join(known) or 'none'}"
                self.faults.append(Fault(name, f"is not a parameter{rest}"))
            self._values.setdefault(name, []).append(value)

    def many(self, name: str) -> list[str]:
        """All values of a parameter."""
        return self._values.get(name, [])

    def one(self, name: str) -> str | None:
        """The value of a parameter that may be given once."""
        found = self.many(name)
        if len(found) > 1:
            self.faults.append(Fault(name, "is given more than once"))
        return found[0] if found else None

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number between bounds."""
        text = self.one(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most):  # noqa: PLR2004
            self.faults.append(Fault(name, f"is {text[:60]!r}: write a whole number from {least} to {most}"))
            return default
        return int(text)

    def flag(self, name: str) -> bool | None:
        """True or false; None where it is absent."""
        text = self.one(name)
        if text not in {None, "true", "false"}:
            self.faults.append(Fault(name, f"is {text[:60]!r}: write true or false"))
        return None if text is None else text == "true"

    def symbol(self, name: str, symbols: Collection[str]) -> str | None:
        """One of several words."""
        text = self.one(name)
        if text is not None and text not in symbols:
            self.faults.append(Fault(name, f"is {text[:60]!r}: write {' or '.join(symbols)}"))
        return text

    def symbols(self, name: str, symbols: Collection[str]) -> frozenset[str]:
        """Several of several words."""
        found = self.many(name)
        for text in found:
            if text not in symbols:
                self.faults.append(Fault(name, f"holds {text[:60]!r}: write {' or '.join(symbols)}"))
        return frozenset(found)

    def time(self, name: str) -> int | None:
        """A point in time, ms since 1970."""
        text = self.one(name)
        if text is None:
            return None
        found: int | None = getattr(self._filter({name: _time(text)}, lambda _: name), name)
        return found

    def filter(self) -> Filter:
        """The filter of invocations that the parameters are; all of them where none is given."""
        chosen = self._filter(self._said(""), _parameter)
        if not self.faults:
            self.faults += [Fault(_parameter(fault.field), fault.rule) for fault in filter_faults(chosen, Action.KILL)]
        return chosen

    def require_sound(self) -> None:
        """Raise a `FaultsError` with all faults so far."""
        if self.faults:
            raise FaultsError(self.faults)

    def _filter(self, body: dict[str, Any], named: Callable[[str], str]) -> Filter:
        try:
            return from_json(Filter, {"match_all": not body.keys() - {"exclude"}, **body})
        except JsonFaultsError as error:
            self.faults += [Fault(named(fault.field), fault.rule) for fault in error.faults]
            return Filter(match_all=True)

    def _said(self, prefix: str) -> dict[str, Any]:
        body: dict[str, Any] = {field: found for name, field in _LISTS.items() if (found := self.many(prefix + name))}
        body |= {name: _time(text) for name in _TIMES if (text := self.one(prefix + name)) is not None}
        body |= self._labels(f"{prefix}label")
        if not prefix and (left_out := self._said(_NOT)):
            body["exclude"] = left_out
        return body

    def _labels(self, name: str) -> dict[str, Any]:
        """Labels from `key=value`; several values of one key are alternatives."""
        wanted: dict[str, list[str]] = {}
        for text in self.many(name):
            pair = read_label(text)
            if pair is None:
                self.faults.append(Fault(name, f"is {text[:60]!r}: write key=value"))
                continue
            wanted.setdefault(pair[0], []).append(pair[1])
        single = {key: values[0] for key, values in wanted.items() if len(values) == 1}
        several = {key: values for key, values in wanted.items() if len(values) > 1}
        return ({"labels": single} if single else {}) | ({"labels_in": several} if several else {})


def _time(text: str) -> str | int:
    """RFC 3339, or ms since 1970. A `+` that was not encoded has become a space."""
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdecimal() and len(digits) < 20:  # noqa: PLR2004
        return int(text)
    return text.replace(" ", "+") if text.count(" ") == 1 and "T" in text else text


def _parameter(path: str) -> str:
    """The parameter of a field of a filter."""
    path = path.removeprefix("filter").removeprefix(".")
    prefix = _NOT if path.startswith("exclude") else ""
    field = path.removeprefix("exclude").removeprefix(".").partition(".")[0].partition("[")[0]
    if field in {"labels", "labels_in"}:
        return f"{prefix}label"
    return prefix + next((name for name, listed in _LISTS.items() if listed == field), field)


def cursor_behind(place: ListPlace, asked: object) -> str:
    """The cursor of the page that begins behind a place; `asked`: what the list was asked for."""
    packed = msgspec.msgpack.encode((1, _digest(asked), place.created_at, place.name))
    return urlsafe_b64encode(packed).decode().rstrip("=")


def place_of_cursor(cursor: str, asked: object) -> ListPlace:
    """The place of a cursor.

    Raises:
        FaultsError: it is none, or belongs to a list that was asked for something else.
    """
    try:
        packed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        version, digest, created_at, name = msgspec.msgpack.decode(packed, type=tuple[int, bytes, int, str])
    except (ValueError, msgspec.MsgspecError):
        raise FaultsError([Fault("cursor", "is none that a list has given: leave it out to begin again")]) from None
    if version != 1 or digest != _digest(asked):
        raise FaultsError([Fault("cursor", "belongs to another filter: leave it out, or ask with its own filter")])
    return ListPlace(created_at, name)


def _digest(asked: object) -> bytes:
    return sha256(msgspec.json.encode(asked, order="deterministic")).digest()[:12]
