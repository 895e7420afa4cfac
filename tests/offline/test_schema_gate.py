"""The gate finds every change that would break a reader or a writer, and lets the others pass."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from streams.codec import schemas
from streams.offline import schema_gate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TODAY = schemas.load(schemas.folder())


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """A record's field by its name."""
    found: dict[str, Any] = next(each for each in schema["fields"] if each["name"] == name)
    return found


def added_field(act: dict[str, Any], **extra: Any) -> None:
    """A new field in the middle."""
    act["fields"].insert(1, {"name": "added", "type": ["null", "string"], **extra})


def nested(act: dict[str, Any]) -> dict[str, Any]:
    """The record inside the record."""
    cause: dict[str, Any] = field(act, "cause")["type"]
    return cause


BREAKS: dict[str, tuple[Callable[[dict[str, Any]], object], str, str]] = {
    "removed": (lambda act: act["fields"].remove(field(act, "grace_ms")), "Act.grace_ms", "the field is gone"),
    "renamed": (lambda act: field(act, "grace_ms").update(name="grace"), "Act.grace_ms", "the field is gone"),
    "retyped": (lambda act: field(act, "grace_ms").update(type=["null", "string"]), "Act.grace_ms", "the type was"),
    "promoted": (lambda act: field(act, "grace_ms").update(type=["null", "double"]), "Act.grace_ms", "the type was"),
    "made optional": (
        lambda act: field(act, "invocation_id").update(type=["null", "string"]),
        "Act.invocation_id",
        'the type was "string" and is ["null", "string"]',
    ),
    "no default": (added_field, "Act.added", "no default"),
    "other default": (lambda act: field(act, "on_timeout").update(default="LEAVE"), "Act.on_timeout", "the default"),
    "default gone": (lambda act: field(act, "grace_ms").pop("default"), "Act.grace_ms", "the default"),
    "removed symbol": (lambda act: field(act, "action")["type"]["symbols"].remove("PURGE"), "Act: Action", "PURGE"),
    "renamed symbol": (
        lambda act: field(act, "action")["type"].update(
            symbols=["UNKNOWN", "CANCEL", "KILL", "PAUSE", "RESUME", "DROP"]
        ),
        "Act: Action",
        "PURGE",
    ),
    "renamed type": (lambda act: field(act, "action")["type"].update(name="Deed"), "Act: Action", "the enum is gone"),
    "renamed record": (lambda act: act.update(name="Deed"), "Act", "the record is gone"),
    "other kind": (
        lambda act: field(act, "cause").update(
            type={"type": "enum", "name": "Cause", "symbols": ["UNKNOWN"]}, default="UNKNOWN"
        ),
        "Act: Cause",
        "the record is gone",
    ),
    "nested": (lambda act: nested(act)["fields"].pop(), "Act: Cause.reason", "the field is gone"),
    "nested without default": (
        lambda act: nested(act)["fields"].append({"name": "added", "type": "string"}),
        "Act: Cause.added",
        "no default",
    ),
    "other namespace": (lambda act: nested(act).update(namespace="elsewhere"), "Act: Cause", "the record is gone"),
}

ADDITIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "nothing": lambda _: None,
    "optional field": lambda act: added_field(act, default=None),
    "field with a default": lambda act: act["fields"].append({"name": "n", "type": "long", "default": 3}),
    "nested field": lambda act: nested(act)["fields"].append({"name": "n", "type": "long", "default": 3}),
    "symbol": lambda act: field(act, "action")["type"]["symbols"].append("ARCHIVE"),
    "doc": lambda act: act.update(doc="Other words."),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_breaking_change_is_found(name: str) -> None:
    """Each kind of break is reported with the record, the field and what is wrong."""
    change, at, message = BREAKS[name]
    changed = copy.deepcopy(TODAY["Act"])
    change(changed)
    problems = schema_gate.check_schemas({"Act": TODAY["Act"]}, {"Act": changed})
    assert [str(problem) for problem in problems if problem.at == at and message in problem.message]


@pytest.mark.parametrize("name", ADDITIONS)
def test_an_addition_passes(name: str) -> None:
    """Fields with a default, symbols and words may be added."""
    changed = copy.deepcopy(TODAY["Act"])
    ADDITIONS[name](changed)
    assert schema_gate.check_schemas({"Act": TODAY["Act"]}, {"Act": changed, "Tick": TODAY["Tick"]}) == []


def test_what_avros_checker_finds_is_reported_both_ways() -> None:
    """It is said who breaks: readers of today, or those who have not upgraded."""
    changed = copy.deepcopy(TODAY["Act"])
    added_field(changed)
    problems = schema_gate.check_schemas({"Act": TODAY["Act"]}, {"Act": changed})
    assert [problem for problem in problems if "a reader of today cannot read older records" in problem.message]
    problems = schema_gate.check_schemas({"Act": changed}, {"Act": TODAY["Act"]})
    assert [problem for problem in problems if "an older reader cannot read records of today" in problem.message]


def test_a_removed_record_is_found() -> None:
    """The log may hold such records for years."""
    problems = schema_gate.check_schemas(TODAY, {name: schema for name, schema in TODAY.items() if name != "Tick"})
    assert [str(problem) for problem in problems] == ["Tick: the record is gone, and older ones must stay readable"]


def test_todays_schemas_pass_against_themselves_and_every_release() -> None:
    """What is in the checkout breaks nobody who runs a released version."""
    today, *released = schemas.load_all(schemas.folder())
    for version in [today, *released]:
        assert schema_gate.check_schemas(version, today) == []


def test_schemas_come_from_a_folder(tmp_path: Path) -> None:
    """A folder with schemas is taken as it is; run holds today's against it."""
    kept = copy.deepcopy(TODAY["Act"])
    kept["fields"].append({"name": "dropped", "type": "long", "default": 0})
    (tmp_path / "Act.avsc").write_text(json.dumps(kept))
    assert schema_gate.schemas_at(str(tmp_path)) == {"Act": kept}
    assert [problem.at for problem in schema_gate.check_against(str(tmp_path))] == ["Act.dropped"]


def test_schemas_come_from_a_git_ref(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ref means the schemas as they are there, whatever the files say now."""
    folder = tmp_path / "schemas"
    (folder / "released" / "0.1.0").mkdir(parents=True)
    for path in (folder / "Act.avsc", folder / "released" / "0.1.0" / "Tick.avsc"):
        path.write_text(json.dumps(TODAY[path.stem]))
    (folder / "README.md").write_text("words")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-C", str(tmp_path)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "schemas"], ["tag", "v1"]):
        subprocess.run([*git, *command], check=True)
    (folder / "Act.avsc").write_text("{}")
    monkeypatch.setattr(schemas, "folder", lambda: folder)
    assert schema_gate.schemas_at("v1") == {"Act": TODAY["Act"]}
    for nothing in ("nonsense", "--help"):
        with pytest.raises(schema_gate.SchemasError, match=f"{nothing} is neither a folder nor a git ref with schemas"):
            schema_gate.schemas_at(nothing)


def test_a_machine_without_git_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ref cannot be looked up there; a folder can be given."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(schema_gate.SchemasError, match="main is not a folder, and there is no git"):
        schema_gate.schemas_at("main")


@pytest.mark.parametrize("text", ["{", "{}", '{"type": "record", "name": "Act"}'])
def test_a_file_that_is_no_schema_is_named(tmp_path: Path, text: str) -> None:
    """Garbage in a schema file is an error of its own, not a break."""
    (tmp_path / "Act.avsc").write_text(text)
    with pytest.raises(schema_gate.SchemasError, match=r"Act\.avsc is not an Avro schema"):
        schema_gate.schemas_at(str(tmp_path))


def test_a_folder_without_schemas_is_named(tmp_path: Path) -> None:
    """An empty folder is not a set of schemas that anything is compatible with."""
    with pytest.raises(schema_gate.SchemasError, match="holds no schemas"):
        schema_gate.schemas_at(str(tmp_path))
