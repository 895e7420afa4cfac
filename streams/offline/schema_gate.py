"""The gate for schema changes: no reader or writer may break.

Avro's own checker tests whether bytes can still be read, in both directions. The further rules are this protocol's:
fields and symbols are added, never removed, renamed or re-typed, and a default never changes, since defaults are left
out of the content hash.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import avro.errors
import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from streams.codec import schemas
from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.codec.schemas import Schema


_NONE = object()
"""Placeholder for a missing default, since null is a default."""


class SchemasError(StreamsError):
    """Schemas that cannot be found or are not valid Avro."""


class Problem(NamedTuple):
    """A breaking change; `at` is the record and the path of the field."""

    at: str
    message: str

    def __str__(self) -> str:
        """The problem in one line."""
        return f"{self.at}: {self.message}"


def check_against(against: str) -> list[Problem]:
    """The problems of today's schemas for readers and writers of those at `against`, a folder or a git ref."""
    return check_schemas(schemas_at(against), schemas.load(schemas.folder()))


def schemas_at(source: str) -> dict[str, Schema]:
    """Schemas by the record's name, from a folder or from `schemas/` in a git ref of this checkout.

    Raises `SchemasError` if there are none.
    """
    if Path(source).is_dir():
        found = {file.stem: _parse(file.read_text("utf-8"), file) for file in Path(source).glob("*.avsc")}
    else:
        found = _load_ref(source)
    if not found:
        raise SchemasError(f"{source} holds no schemas (*.avsc): give a folder with some, or a git ref")
    return found


def check_schemas(old: dict[str, Schema], new: dict[str, Schema]) -> list[Problem]:
    """The problems for readers and writers of the old schemas; empty if nothing breaks."""
    problems = [Problem(name, "the record is gone, and older ones must stay readable") for name in old.keys() - new]
    for name in old.keys() & new.keys():
        problems += _unreadable(name, old[name], new[name])
        problems += _changes(old[name], new[name])
    return sorted(problems)


def _load_ref(ref: str) -> dict[str, Schema]:
    folder = schemas.folder()
    names = _git(folder, ref, "ls-tree", "--name-only", "--end-of-options", ref, "./").splitlines()
    files = [name for name in names if name.endswith(".avsc")]
    return {Path(name).stem: _parse(_git(folder, ref, "show", f"{ref}:./{name}"), name) for name in files}


def _parse(text: str, file: Path | str) -> Schema:
    """The schema in a file; raises `SchemasError` if it is not one."""
    try:
        avro.schema.parse(text)
        schema: Schema = json.loads(text)
    except (json.JSONDecodeError, avro.errors.AvroException) as error:
        raise SchemasError(f"{file} is not an Avro schema: {error}") from error
    return schema


def _git(folder: Path, ref: str, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603, S607
    except FileNotFoundError as error:
        raise SchemasError(f"{ref} is not a folder, and there is no git to look it up as a ref") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["git failed"])[0]
        raise SchemasError(f"{ref} is neither a folder nor a git ref with schemas: {reason}")
    return done.stdout


def _unreadable(name: str, old: Schema, new: Schema) -> Iterator[Problem]:
    """The problems found by Avro's checker, in both directions."""
    before, after = avro.schema.parse(json.dumps(old)), avro.schema.parse(json.dumps(new))
    checker: Any = ReaderWriterCompatibilityChecker
    for reader, writer, who in (
        (after, before, "a reader of today cannot read older records"),
        (before, after, "an older reader cannot read records of today"),
    ):
        result = checker().get_compatibility(reader, writer)
        if result.compatibility is not SchemaCompatibilityType.compatible:
            yield Problem(name, f"{who}: {', '.join(sorted(result.messages))} at {', '.join(sorted(result.locations))}")


def _changes(old: Schema, new: Schema) -> Iterator[Problem]:
    """Violations of the protocol's own rules, in the record and all types defined inside it."""
    types = {(schema.get("namespace"), schema["name"]): schema for schema in schemas.definitions(new)}
    for before in schemas.definitions(old):
        name = before["name"]
        at = old["name"] if before is old else f"{old['name']}: {name}"
        after = types.get((before.get("namespace"), name))
        if after is None or after["type"] != before["type"]:
            yield Problem(at, f"the {before['type']} is gone; types keep their name")
        elif before["type"] == "enum":
            for symbol in before["symbols"]:
                if symbol not in after["symbols"]:
                    yield Problem(at, f"the symbol {symbol} is gone; symbols are added, never removed or renamed")
        else:
            yield from _changed_fields(at, before, after)


def _changed_fields(at: str, old: Schema, new: Schema) -> Iterator[Problem]:
    before = {field["name"]: field for field in old["fields"]}
    after = {field["name"]: field for field in new["fields"]}
    for name, field in before.items():
        if name not in after:
            yield Problem(f"{at}.{name}", "the field is gone; fields are added, never removed or renamed")
            continue
        was, now = _shape(field["type"]), _shape(after[name]["type"])
        if was != now:
            yield Problem(f"{at}.{name}", f"the type was {json.dumps(was)} and is {json.dumps(now)}; types stay")
        if field.get("default", _NONE) != after[name].get("default", _NONE):
            yield Problem(f"{at}.{name}", "the default has changed, and it stands for the value in older records")
    for name in after.keys() - before.keys():
        if "default" not in after[name]:
            yield Problem(f"{at}.{name}", "the new field has no default to stand for it in older records")


def _shape(schema: Any) -> Any:
    """A field's type, with the types defined in it as names."""
    match schema:
        case {"type": "record" | "enum", "name": name}:
            return name
        case dict():
            return {key: _shape(part) for key, part in schema.items() if key != "doc"}
        case list():
            return [_shape(part) for part in schema]
        case _:
            return schema.rsplit(".", 1)[-1]
