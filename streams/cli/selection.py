"""The options that say which invocations are meant, and the filter they make."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from streams.cli.ids_file import ids_of
from streams.cli.times import iso, point_ms
from streams.model import Filter, Status
from streams.textfiles import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

_PANEL = "Which invocations"
_Words = list[str]
_In = TypeVar("_In")
_Out = TypeVar("_Out")


def _many(*names: str, meaning: str, metavar: str = "NAME") -> Any:
    told = f"{meaning} May be given several times."
    return typer.Option(*names, metavar=metavar, help=told, rich_help_panel=_PANEL, show_default=False)


def _when(name: str, meaning: str) -> Any:
    return typer.Option(name, metavar="TIME", help=meaning, rich_help_panel=_PANEL, show_default=False)


@dataclass(frozen=True)
class Selection:
    """Filter options: different ones are ANDed, values of the same one ORed."""

    service: Annotated[_Words | None, _many("--service", "-s", meaning="Of this service.")] = None
    handler: Annotated[_Words | None, _many("--handler", meaning="Of this handler.")] = None
    object_key: Annotated[
        _Words | None, _many("--object-key", meaning="Of this object of a keyed service.", metavar="KEY")
    ] = None
    deployment: Annotated[_Words | None, _many("--deployment", meaning="On this deployment.", metavar="ID")] = None
    status: Annotated[
        _Words | None,
        _many("--status", meaning="In this status, such as RUNNING; of a purge such as COMPLETED.", metavar="STATUS"),
    ] = None
    flow: Annotated[
        _Words | None, _many("--flow", meaning="Members of this flow (not built yet: none has any).", metavar="ID")
    ] = None
    parent: Annotated[
        _Words | None,
        _many("--parent", meaning="Children of this invocation (not built yet: none has any).", metavar="ID"),
    ] = None
    id: Annotated[_Words | None, _many("--id", meaning="This invocation.", metavar="ID")] = None
    ids_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The invocations in this file, one id a line, at most 10,000; - reads stdin.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    batch: Annotated[
        _Words | None, _many("--batch", meaning="Ended, or being cancelled, by this batch.", metavar="ID")
    ] = None
    label: Annotated[
        _Words | None, _many("--label", meaning="With this label; all of them must fit.", metavar="KEY=VALUE")
    ] = None
    created_after: Annotated[
        str | None, _when("--created-after", "Created at this time or later: ISO, or 2h for two hours ago.")
    ] = None
    created_before: Annotated[str | None, _when("--created-before", "Created before this time.")] = None
    modified_after: Annotated[str | None, _when("--modified-after", "Last changed at this time or later.")] = None
    modified_before: Annotated[str | None, _when("--modified-before", "Last changed before this time.")] = None
    all: Annotated[
        bool,
        typer.Option(
            "--all", metavar="", help="All invocations: needed when nothing else is given.", rich_help_panel=_PANEL
        ),
    ] = False

    def filter(self) -> Filter:
        """The filter; it is not yet checked against the protocol's rules.

        Raises:
            typer.BadParameter: a time, label, status or file of ids that cannot be read, naming the option.
        """
        if self.all and any(getattr(self, each.name) is not None for each in fields(self) if each.name != "all"):
            raise typer.BadParameter(
                "all invocations are meant, and others of these options choose some: leave out the one or the others",
                param_hint="--all",
            )
        chosen = Filter(
            created_from=_named("--created-after", point_ms, self.created_after),
            created_until=_named("--created-before", point_ms, self.created_before),
            modified_from=_named("--modified-after", point_ms, self.modified_after),
            modified_until=_named("--modified-before", point_ms, self.modified_before),
            services=_words(self.service),
            handlers=_words(self.handler),
            object_keys=_words(self.object_key),
            deployment_ids=_words(self.deployment),
            statuses=_named("--status", _statuses, self.status),
            flow_ids=_words(self.flow),
            parent_ids=_words(self.parent),
            invocation_ids=self._ids(),
            batch_ids=_words(self.batch),
            labels=labels_of("--label", self.label),
            match_all=self.all,
        )
        _require_order("--created-after", chosen.created_from, "--created-before", chosen.created_until)
        _require_order("--modified-after", chosen.modified_from, "--modified-before", chosen.modified_until)
        return chosen

    def _ids(self) -> tuple[str, ...] | None:
        if self.id is None and self.ids_file is None:
            return None
        ids = [*(self.id or ()), *(_named("--ids-file", _read_ids, self.ids_file) or ())]
        return tuple(dict.fromkeys(ids))  # a repeated id is one invocation


def _require_order(since: str, start: int | None, until: str, end: int | None) -> None:
    if start is not None and end is not None and end < start:
        raise typer.BadParameter(f"{iso(end)} lies before {since} {iso(start)}: exchange them", param_hint=until)


def describe(chosen: Filter) -> str:
    """The filter in words, for the question before a batch is sent."""
    if chosen.match_all:
        return "ALL invocations"
    lists = {
        "service": chosen.services,
        "handler": chosen.handlers,
        "object key": chosen.object_keys,
        "deployment": chosen.deployment_ids,
        "status": chosen.statuses,
        "flow": chosen.flow_ids,
        "parent": chosen.parent_ids,
        "batch": chosen.batch_ids,
    }
    words = [f"{name} {' or '.join(values)}" for name, values in lists.items() if values]
    words += [f"label {key}={value}" for key, value in (chosen.labels or {}).items()]
    times = {
        "created from": chosen.created_from,
        "created before": chosen.created_until,
        "last changed from": chosen.modified_from,
        "last changed before": chosen.modified_until,
    }
    words += [f"{name} {iso(at)}" for name, at in times.items() if at is not None]
    if chosen.invocation_ids:
        words.insert(0, f"one of {len(chosen.invocation_ids):,} ids")
    return "invocations of " + ", and ".join(words)


def _named(option: str, read: Callable[[_In], _Out], value: _In | None) -> _Out | None:
    """Read a value; an error names the option it came from."""
    if value is None:
        return None
    try:
        return read(value)
    except typer.BadParameter as error:
        error.param_hint = option
        raise


def labels_of(option: str, values: list[str] | None) -> dict[str, str] | None:
    """Labels written as KEY=VALUE; None when there are none.

    Raises:
        typer.BadParameter: one is not written so, or a key has two values.
    """
    return _named(option, _labels, values)


def _words(values: list[str] | None) -> tuple[str, ...] | None:
    return tuple(dict.fromkeys(values)) if values else None


def _statuses(values: list[str]) -> tuple[Status, ...]:
    known = [status.value for status in Status]
    unknown = [value for value in values if value.upper() not in known]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is no status; there are {', '.join(known)}")
    return tuple(Status(value.upper()) for value in dict.fromkeys(values))


def _labels(values: list[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for value in values:
        key, equals, wanted = value.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{value!r} is no label: write KEY=VALUE")
        if labels.setdefault(key, wanted) != wanted:
            raise typer.BadParameter(f"label {key} cannot be {labels[key]!r} and {wanted!r} at once: give it once")
    return labels


def _read_ids(path: Path) -> list[str]:
    try:
        ids = ids_of(path)
    except UnreadableError as error:
        raise typer.BadParameter(str(error)) from None
    if not ids:
        raise typer.BadParameter(f"{path} holds no id: write one a line")
    return ids
