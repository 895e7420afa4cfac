"""Labels in their typed form, KEY=VALUE."""

from __future__ import annotations

import typer

from streams.protocol.typed_labels import comparison, read_label, typed_label


def labels_of(option: str, values: list[str] | None) -> dict[str, str] | None:
    """Labels from texts of the form KEY=VALUE; None without any.

    Raises:
        typer.BadParameter: one has another form, or a key has two values.
    """
    if values is None:
        return None
    labels: dict[str, str] = {}
    for value in values:
        key, wanted = _pair(option, value)
        if labels.setdefault(key, wanted) != wanted:
            message = f"label {key} cannot be {labels[key]!r} and {wanted!r} at once: give it once"
            raise typer.BadParameter(message, param_hint=option)
    return labels


def wanted_labels(
    option: str, values: list[str] | None
) -> tuple[dict[str, str] | None, dict[str, tuple[str, ...]] | None]:
    """The labels of a filter: those with one value, and those with several allowed values.

    Raises:
        typer.BadParameter: one does not have the form KEY=VALUE, or looks like a comparison.
    """
    lists: dict[str, dict[str, None]] = {}
    for value in values or ():
        key, wanted = _pair(option, value)
        if fault := _comparison_fault(value, key, wanted):
            raise typer.BadParameter(fault, param_hint=option)
        lists.setdefault(key, {})[wanted] = None
    one = {key: next(iter(several)) for key, several in lists.items() if len(several) == 1}
    several = {key: tuple(values) for key, values in lists.items() if len(values) > 1}
    return one or None, several or None


def _comparison_fault(value: str, key: str, wanted: str) -> str | None:
    compared = comparison(value)
    if compared is None:
        return None
    plain = typed_label(key.rstrip("!"), wanted.lstrip("="))
    meant = f"if it shall, write '{typed_label(key, wanted)}'"
    if compared == "!=":
        asked = f"a label named {key!r}: to leave out what has a label, say --not-label {plain}"
    else:
        asked = f"the value {wanted!r}: write one '=', {plain}"
    return f"{value!r} would ask for {asked}; {meant}"


def _pair(option: str, value: str) -> tuple[str, str]:
    pair = read_label(value)
    if pair is None:
        raise typer.BadParameter(f"{value!r} is not a label: write KEY=VALUE", param_hint=option)
    return pair
