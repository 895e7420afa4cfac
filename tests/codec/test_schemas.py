"""The schemas say what the structs say."""

from __future__ import annotations

import json
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import avro.schema
import msgspec
import pytest

from streams import model
from streams.codec import schemas
from streams.model import Command
from support.records.record_values import TODAY, plain, without_logical_types

if TYPE_CHECKING:
    from pathlib import Path

PRIMITIVES = {int: "long", str: "string", bytes: "bytes", bool: "boolean", float: "double", NoneType: "null"}
BESIDE_THE_SCHEMA = {"Invoke": {"encoded"}}
TIME_ENDINGS = ("_at", "_until", "_from", "_before")
TIMES = {"at", "clock", "since"}
NO_TIMES = {"paused_from"}


def described(hint: Any) -> Any:
    """A field's type as a schema has it, without logical types and with names for what it defines."""
    if isinstance(hint, UnionType):
        return sorted((described(part) for part in get_args(hint)), key=lambda part: part != "null")
    if get_origin(hint) is dict:
        return {"type": "map", "values": described(get_args(hint)[1])}
    if get_origin(hint) is tuple:
        return {"type": "array", "items": described(get_args(hint)[0])}
    return PRIMITIVES.get(hint) or hint.__name__


def named(schema: Any) -> Any:
    """A schema's type in the same form."""
    match schema:
        case {"name": name}:
            return name
        case {"logicalType": _, "type": base}:
            return base
        case dict():
            return {key: named(part) for key, part in schema.items()}
        case list():
            return [named(part) for part in schema]
        case _:
            return schema.removeprefix("invocations.")


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    """A field's default as a schema has it."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return plain(field.default)


def definitions() -> list[tuple[str, dict[str, Any]]]:
    """Every record and enum in every file, with the file's name."""
    return [(name, part) for name, schema in TODAY.items() for part in schemas.definitions(schema)]


def test_every_record_that_travels_has_a_schema() -> None:
    """Each struct of the model has a schema, on its own or inside another; what exists only in memory has none."""
    structs = {name for name, kind in vars(model).items() if isinstance(kind, type) and issubclass(kind, model.Record)}
    assert structs - {part["name"] for _, part in definitions()} == {"Record", "Row"}
    assert {kind.__name__ for kind in get_args(Command)} <= set(TODAY)


@pytest.mark.parametrize(("file", "schema"), definitions(), ids=lambda value: value if isinstance(value, str) else "")
def test_struct_and_schema_are_equal(file: str, schema: dict[str, Any]) -> None:
    """Names, order, types, optionality and defaults of fields, and symbols of enums, are the same in both."""
    assert file
    kind = getattr(model, schema["name"])
    if issubclass(kind, Enum):
        assert schema["symbols"] == ["UNKNOWN", *(member.value for member in kind)]
        assert schema["default"] == "UNKNOWN"
        return
    hints = get_type_hints(kind)
    beside = BESIDE_THE_SCHEMA.get(schema["name"], set())
    fields = [field for field in msgspec.structs.fields(kind) if field.name not in beside]
    assert [field["name"] for field in schema["fields"]] == [field.name for field in fields]
    for written, field in zip(schema["fields"], fields, strict=True):
        assert named(written["type"]) == described(hints[field.name]), field.name
        required = field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
        if not required:
            assert written["default"] == default_of(field), field.name
        elif isinstance(written["type"], list):
            assert written["default"] is None, field.name
        else:
            assert "default" not in written, field.name


def test_a_name_means_one_thing() -> None:
    """Copies of a type in several files are equal, each file is named after its record, all in one namespace."""
    meanings: dict[str, str] = {}
    for file, schema in definitions():
        assert schema["namespace"] == "invocations"
        meaning = json.dumps(_with_names(schema))
        assert meanings.setdefault(schema["name"], meaning) == meaning, f"{schema['name']} differs in {file}"
    assert [schema["name"] for schema in TODAY.values()] == list(TODAY)


def _with_names(schema: dict[str, Any]) -> dict[str, Any]:
    """The definition with names for the types inside it, since a file defines a type where it first needs it."""
    if "fields" not in schema:
        return schema
    return {**schema, "fields": [{**field, "type": named(field["type"])} for field in schema["fields"]]}


def test_times_are_marked_as_times() -> None:
    """A field that holds a time is a timestamp-millis, and no other number is."""
    for file, schema in definitions():
        for field in schema.get("fields", ()):
            time = {"type": "long", "logicalType": "timestamp-millis"}
            marked = field["type"] == time or field["type"] == ["null", time]
            is_time = field["name"] in TIMES or (field["name"].endswith(TIME_ENDINGS) and field["name"] not in NO_TIMES)
            assert marked == is_time, f"{file}: {schema['name']}.{field['name']}"


def test_every_type_is_documented() -> None:
    """Records and enums say what they are, and so does each field whose name does not."""
    speaking = {"service", "handler", "action", "operation", "filter", "state", "status", "phase", "kind", "cause"}
    speaking |= {"invocation", "payload", "created_at", "updated_at", "finished_at", "statuses"}
    speaking |= {"services", "handlers", "object_keys", "flow_ids", "parent_ids", "policy"}
    silent = [part["name"] for _, part in definitions() if not part.get("doc")]
    for _, part in definitions():
        unsaid = {field["name"] for field in part.get("fields", ()) if not field.get("doc")}
        silent += [f"{part['name']}.{name}" for name in unsaid - speaking]
    assert not silent


@pytest.mark.parametrize("name", TODAY)
def test_the_fingerprint_is_avros(name: str) -> None:
    """The header has the CRC-64-AVRO of the parsing canonical form, little-endian, as Avro's library has it."""
    # That library leaves {"type": "long"} of a timestamp in the canonical form, against the specification.
    parsed = avro.schema.parse(json.dumps(without_logical_types(TODAY[name])))
    assert schemas.header(TODAY[name]) == b"\xc3\x01" + parsed.fingerprint("CRC-64-AVRO")


def test_released_schemas_are_loaded_after_todays(tmp_path: Path) -> None:
    """The folder comes first, then each released version; a README among them is not a version."""
    act, tick = json.dumps(TODAY["Act"]), json.dumps(TODAY["Tick"])
    for version in ("released/0.1.0", "released/0.2.0"):
        (tmp_path / version).mkdir(parents=True)
        (tmp_path / version / "Tick.avsc").write_text(tick)
    (tmp_path / "released" / "README.md").write_text("how")
    (tmp_path / "Act.avsc").write_text(act)
    assert [list(version) for version in schemas.load_all(tmp_path)] == [["Act"], ["Tick"], ["Tick"]]


def test_a_wheel_carries_its_schemas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder inside the package is taken before the one beside it; without either, the error names both."""
    package = tmp_path / "streams"
    monkeypatch.setattr(schemas, "_PACKAGE", package)
    with pytest.raises(FileNotFoundError, match=f"{package}/schemas nor in {tmp_path}/schemas"):
        schemas.folder()
    for folder in (tmp_path / "schemas", package / "schemas"):
        folder.mkdir(parents=True)
        (folder / "Act.avsc").write_text("{}")
        assert schemas.folder() == folder
