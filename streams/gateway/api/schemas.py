"""JSON schemas of the records that go in and out, from their types."""

from __future__ import annotations

from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin, get_type_hints

import msgspec

from streams.codec.json_reading import times
from streams.protocol.validation import MAX_ID, MAX_LONG, MAX_TEXT

if TYPE_CHECKING:
    from streams.model import Record

TIME: Final = {
    "description": "A point in time, in UTC.",
    "anyOf": [
        {"type": "string", "format": "date-time", "examples": ["2026-11-29T01:20:26.118Z"]},
        {"type": "integer", "description": "Milliseconds since 1970."},
    ],
}
_LONG: Final = {"type": "integer", "minimum": -MAX_LONG - 1, "maximum": MAX_LONG}
_TEXTS: Final = frozenset({"reason", "error"})
_NO_IDS: Final = frozenset({"actor", "url", "worker_id", "escalated_by", "cursor", "value"})


def ref(name: str) -> dict[str, str]:
    """A reference to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


class Schemas:
    """The schemas of records, and of all records and enums within them."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {"Time": TIME}

    def body(self, kind: type[Record], *, optional: tuple[str, ...] = ()) -> None:
        """Add the record of a body: it has no other fields. `optional`: fields that may be absent after all."""
        self._record(kind, closed=True, optional=optional)

    def answer(self, kind: type[Record]) -> None:
        """Add the record of an answer, which later releases may add fields to."""
        self._record(kind, closed=False)

    def _record(self, kind: type[Record], *, closed: bool, optional: tuple[str, ...] = ()) -> None:
        if kind.__name__ in self.found:
            return
        hints = get_type_hints(kind)
        fields = [each for each in msgspec.structs.fields(kind) if each.name != "encoded"]
        schema: dict[str, Any] = {"type": "object", "description": _first_line(kind)}
        self.found[kind.__name__] = schema
        schema["properties"] = {each.name: self._of(each.name, hints[each.name], closed=closed) for each in fields}
        # An answer has every field that is not absent; a body may leave out those with a default.
        needed = [
            each.name
            for each in fields
            if each.name not in optional
            and NoneType not in get_args(hints[each.name])
            and (each.required or not closed)
        ]
        if needed:
            schema["required"] = needed
        schema["additionalProperties"] = not closed

    def _of(self, name: str, hint: Any, *, closed: bool) -> dict[str, Any]:
        if isinstance(hint, UnionType):
            hint = next(part for part in get_args(hint) if part is not NoneType)
        origin = get_origin(hint)
        if origin is tuple:
            items = self._of(name, get_args(hint)[0], closed=closed)
            return {"type": "array", "items": items, **({"minItems": 1} if closed else {})}
        if origin is dict:
            return {"type": "object", "additionalProperties": self._of("value", get_args(hint)[1], closed=closed)}
        return self._of_one(name, hint, closed=closed)

    def _of_one(self, name: str, hint: Any, *, closed: bool) -> dict[str, Any]:
        """The schema of a single value."""
        if hint is int:
            return ref("Time") if name in times() else dict(_LONG)
        if hint is str:
            return _text(name)
        if hint in _PLAIN:
            return dict(_PLAIN[hint])
        if issubclass(hint, Enum):
            symbols = [each.value for each in hint]
            told = {"type": "string", "enum": symbols, "description": _first_line(hint)}
            self.found.setdefault(hint.__name__, told)
        else:
            self._record(hint, closed=closed)
        return ref(hint.__name__)


_PLAIN: Final[dict[type, dict[str, Any]]] = {
    bool: {"type": "boolean"},
    float: {"type": "number"},
    bytes: {"type": "string", "contentEncoding": "base64"},
}


def _text(name: str) -> dict[str, Any]:
    if name in _TEXTS:
        return {"type": "string", "maxLength": MAX_TEXT}
    if name in _NO_IDS:
        return {"type": "string"}
    return {"type": "string", "minLength": 1, "maxLength": MAX_ID}


def _first_line(kind: type) -> str:
    return (kind.__doc__ or kind.__name__).strip().partition("\n\n")[0].replace("\n    ", " ")
