"""Groups of options that several commands share: each is a frozen dataclass with fields annotated for Typer.

Also, other things those commands share: completion in the shell, and the answer to a word that is not an option.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import OptionInfo

from streams.cli.completion import batch_ids, flow_ids, services, statuses

if TYPE_CHECKING:
    from collections.abc import Callable


_KIND = inspect.Parameter.KEYWORD_ONLY


class Choosing(TyperCommand):
    """A verb whose options choose the invocations; a bare word is answered with the right option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as usual, but answer a left-over word with a question instead of only refusing it."""
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if ctx.args and not ctx.resilient_parsing:
            word = ctx.args[0]
            raise typer.BadParameter(f"{word!r} is not an option: write -s {word} for a service, --id {word} for an id")
        return rest


def takes(*groups: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of the groups. It is called with one instance of each group, in this order."""
    names = [[field.name for field in dataclasses.fields(group)] for group in groups]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def call(**values: Any) -> None:
            command(
                *(group(**{name: values[name] for name in each}) for group, each in zip(groups, names, strict=True))
            )

        parameters = [parameter for group in groups for parameter in _parameters(group)]
        described: Any = call
        described.__name__, described.__doc__ = command.__name__, command.__doc__
        # Typer reads both: the order and defaults from the signature, the types from the annotations.
        described.__signature__ = inspect.Signature(parameters)
        described.kind = Choosing
        described.__annotations__ = {each.name: each.annotation for each in parameters}
        return call

    return decorate


def _parameters(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    fields = dataclasses.fields(group)
    for hint in hints.values():
        for option in get_args(hint):
            if isinstance(option, OptionInfo) and option.metavar in _COMPLETED:
                option.autocompletion = _COMPLETED[option.metavar]
    return [
        inspect.Parameter(field.name, _KIND, default=field.default, annotation=hints[field.name]) for field in fields
    ]


_COMPLETED: dict[str, Callable[[str], Any]] = {
    "STATUS": statuses,
    "SERVICE": services,
    "FLOW": flow_ids,
    "BATCH": batch_ids,
}
"""Completions for the shell, by the name of the value in the help."""
