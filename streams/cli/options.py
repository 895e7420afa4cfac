"""Groups of options that several commands share: a frozen dataclass a group, its fields annotated for Typer."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable


_KIND = inspect.Parameter.KEYWORD_ONLY


def takes(*groups: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of the groups; it is called with one instance of each, in this order."""
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
        described.__annotations__ = {each.name: each.annotation for each in parameters}
        return call

    return decorate


def _parameters(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    fields = dataclasses.fields(group)
    return [
        inspect.Parameter(field.name, _KIND, default=field.default, annotation=hints[field.name]) for field in fields
    ]
