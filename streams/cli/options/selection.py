"""The options that choose invocations, and the filter made from them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from streams.cli.options.ids_file import ids_of
from streams.cli.options.labels import wanted_labels
from streams.cli.show.times import iso, point_ms
from streams.model import Exclusion, Filter, Status
from streams.textfiles import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PANEL = "Which invocations"
_NOT_PANEL = "Which of them to leave out: what any one of these names"
_SHOWN = 20
"""Most values of one field that are shown."""
_Words = list[str]
_In = TypeVar("_In")
_Out = TypeVar("_Out")


def _many(*names: str, meaning: str, metavar: str = "NAME") -> Any:
    told = f"{meaning} May be given several times."
    return typer.Option(*names, metavar=metavar, help=told, rich_help_panel=_PANEL, show_default=False)


def _when(name: str, meaning: str) -> Any:
    return typer.Option(name, metavar="TIME", help=meaning, rich_help_panel=_PANEL, show_default=False)


def _none_of(name: str, meaning: str, metavar: str = "NAME") -> Any:
    return typer.Option(name, metavar=metavar, help=meaning, rich_help_panel=_NOT_PANEL, show_default=False)


@dataclass(frozen=True)
class Selection:
    """Filter options: different ones are ANDed, values of the same one ORed; then what is left out is taken off."""

    service: Annotated[_Words | None, _many("--service", "-s", meaning="Of this service.", metavar="SERVICE")] = None
    handler: Annotated[_Words | None, _many("--handler", meaning="Of this handler.")] = None
    object_key: Annotated[
        _Words | None, _many("--object-key", meaning="Of this object of a keyed service.", metavar="KEY")
    ] = None
    deployment: Annotated[_Words | None, _many("--deployment", meaning="On this deployment.", metavar="ID")] = None
    status: Annotated[
        _Words | None,
        _many(
            "--status",
            meaning="In this status: RUNNING; of a purge or restart COMPLETED.",
            metavar="STATUS",
        ),
    ] = None
    flow: Annotated[_Words | None, _many("--flow", meaning="Member of this flow.", metavar="FLOW")] = None
    parent: Annotated[_Words | None, _many("--parent", meaning="Child of this invocation.", metavar="ID")] = None
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
        _Words | None, _many("--batch", meaning="Ended, or being cancelled, by this batch.", metavar="BATCH")
    ] = None
    label: Annotated[
        _Words | None,
        _many("--label", meaning="With this label; of several values of a key one must fit.", metavar="KEY=VALUE"),
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
            "--all",
            metavar="",
            help="All invocations: needed when nothing else is given, or nothing but what to leave out.",
            rich_help_panel=_PANEL,
        ),
    ] = False
    not_service: Annotated[_Words | None, _none_of("--not-service", "Of this service.", "SERVICE")] = None
    not_handler: Annotated[_Words | None, _none_of("--not-handler", "Of this handler.")] = None
    not_object_key: Annotated[
        _Words | None, _none_of("--not-object-key", "Of this object of a keyed service.", "KEY")
    ] = None
    not_deployment: Annotated[_Words | None, _none_of("--not-deployment", "On this deployment.", "ID")] = None
    not_status: Annotated[_Words | None, _none_of("--not-status", "In this status.", "STATUS")] = None
    not_flow: Annotated[_Words | None, _none_of("--not-flow", "Member of this flow.", "FLOW")] = None
    not_parent: Annotated[_Words | None, _none_of("--not-parent", "Child of this invocation.", "ID")] = None
    not_batch: Annotated[
        _Words | None, _none_of("--not-batch", "Ended, or being cancelled, by this batch.", "BATCH")
    ] = None
    not_label: Annotated[_Words | None, _none_of("--not-label", "With this label.", "KEY=VALUE")] = None
    not_created_after: Annotated[
        str | None,
        _none_of("--not-created-after", "Created then or later; with the next option, between the two.", "TIME"),
    ] = None
    not_created_before: Annotated[str | None, _none_of("--not-created-before", "Created before this time.", "TIME")] = (
        None
    )
    not_modified_after: Annotated[
        str | None,
        _none_of("--not-modified-after", "Last changed then or later; with the next option, between the two.", "TIME"),
    ] = None
    not_modified_before: Annotated[
        str | None, _none_of("--not-modified-before", "Last changed before this time.", "TIME")
    ] = None

    def filter(self) -> Filter:
        """The filter, not yet checked against the protocol's rules.

        Raises:
            typer.BadParameter: a time, label, status or file of ids that cannot be read, naming the option.
        """
        choosing = [each.name for each in fields(self) if each.name != "all" and not each.name.startswith("not_")]
        if self.all and any(getattr(self, name) is not None for name in choosing):
            raise typer.BadParameter(
                "all invocations are meant, and others of these options choose some: leave out the one or the others",
                param_hint="--all",
            )
        labels, labels_in = wanted_labels("--label", self.label)
        left_out = self._exclusion()
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
            labels=labels,
            match_all=self.all,
            labels_in=labels_in,
            exclude=None if left_out == Exclusion() else left_out,
        )
        _require_order("--", chosen)
        _require_order("--not-", left_out)
        return chosen

    def _exclusion(self) -> Exclusion:
        labels, labels_in = wanted_labels("--not-label", self.not_label)
        return Exclusion(
            created_from=_named("--not-created-after", point_ms, self.not_created_after),
            created_until=_named("--not-created-before", point_ms, self.not_created_before),
            modified_from=_named("--not-modified-after", point_ms, self.not_modified_after),
            modified_until=_named("--not-modified-before", point_ms, self.not_modified_before),
            services=_words(self.not_service),
            handlers=_words(self.not_handler),
            object_keys=_words(self.not_object_key),
            deployment_ids=_words(self.not_deployment),
            statuses=_named("--not-status", _statuses, self.not_status),
            flow_ids=_words(self.not_flow),
            parent_ids=_words(self.not_parent),
            batch_ids=_words(self.not_batch),
            labels=labels,
            labels_in=labels_in,
        )

    def _ids(self) -> tuple[str, ...] | None:
        if self.id is None and self.ids_file is None:
            return None
        ids = [*(self.id or ()), *(_named("--ids-file", _read_ids, self.ids_file) or ())]
        return tuple(dict.fromkeys(ids))  # repeated ids are one invocation


def _require_order(options: str, said: Filter | Exclusion) -> None:
    pairs = {"created": (said.created_from, said.created_until), "modified": (said.modified_from, said.modified_until)}
    for what, (start, end) in pairs.items():
        if start is not None and end is not None and end < start:
            message = f"{iso(end)} lies before {options}{what}-after {iso(start)}: exchange them"
            raise typer.BadParameter(message, param_hint=f"{options}{what}-before")


def describe(chosen: Filter, ids: int | None = None) -> str:
    """The filter in words; `ids`: number of its ids, if only that is known."""
    words = _words_of(chosen)
    if count := len(chosen.invocation_ids or ()) or ids:
        words.insert(0, f"one of {count:,} ids")
    told = "invocations of " + ", and ".join(words) if words else "no invocations"
    if chosen.match_all:
        told = "ALL invocations"
    left_out = [] if chosen.exclude is None else _words_of(chosen.exclude)
    return told + (", but none of " + ", and none of ".join(left_out) if left_out else "")


def _words_of(said: Filter | Exclusion) -> list[str]:
    """A phrase for each condition; two ends of a time range are one."""
    lists = {
        "service": said.services,
        "handler": said.handlers,
        "object key": said.object_keys,
        "deployment": said.deployment_ids,
        "status": said.statuses,
        "flow": said.flow_ids,
        "parent": said.parent_ids,
        "batch": said.batch_ids,
    }
    words = [f"{name} {_any_of(values)}" for name, values in lists.items() if values]
    labels = {key: (value,) for key, value in (said.labels or {}).items()}
    for key, values in [*labels.items(), *(said.labels_in or {}).items()]:
        words.append(f"label {_any_of([f'{key}={value}' for value in values])}")
    times = (
        ("created", said.created_from, said.created_until),
        ("last changed", said.modified_from, said.modified_until),
    )
    for name, start, end in times:
        bounds = [f"{word} {iso(at)}" for word, at in (("from", start), ("before", end)) if at is not None]
        words += [f"{name} {' and '.join(bounds)}"] if bounds else []
    return words


def _any_of(values: Sequence[str]) -> str:
    more = len(values) - _SHOWN
    return " or ".join([*values[:_SHOWN], *([f"{more:,} others"] if more > 0 else [])])


def _named(option: str, read: Callable[[_In], _Out], value: _In | None) -> _Out | None:
    """Read a value; an error names its option."""
    if value is None:
        return None
    try:
        return read(value)
    except typer.BadParameter as error:
        error.param_hint = option
        raise


def _words(values: list[str] | None) -> tuple[str, ...] | None:
    return tuple(dict.fromkeys(values)) if values else None


def _statuses(values: list[str]) -> tuple[Status, ...]:
    known = [status.value for status in Status]
    unknown = [value for value in values if value.upper() not in known]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is not a status; there are {', '.join(known)}")
    return tuple(Status(value.upper()) for value in dict.fromkeys(values))


def _read_ids(path: Path) -> list[str]:
    try:
        ids = ids_of(path)
    except UnreadableError as error:
        raise typer.BadParameter(str(error)) from None
    if not ids:
        raise typer.BadParameter(f"{path} holds no id: write one a line")
    return ids
