"""Facts about the invocations of a batch, from the gateway: before it starts, and how they have ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import typer
from msgspec.structs import replace

from streams.cli.gateway import GatewayError, gateway_of_command
from streams.cli.show.console import err
from streams.cli.show.counts import largest_first
from streams.cli.show.times import ago, iso, ms_of
from streams.clock import wall_clock
from streams.model import TERMINAL, Action, BatchState, Filter, Status
from streams.protocol.batch_validation import looked_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from streams.cli.gateway import Gateway
    from streams.model import BatchProgress, StartBatch

_GROUPS_SHOWN: Final = 5
_ONE_PAGE: Final = 500
_MOST_IDS: Final = 500
"""Most ids that are looked up: a request carries about a hundred."""
_TRIES: Final = 5
_PAUSE_S: Final = 0.4
"""A worker's answer may be a second old."""
_ENDS: Final = {
    Status.CANCELLED: "cancelled as asked",
    Status.COMPLETED: "completed by themselves",
    Status.FAILED: "failed by themselves",
    Status.KILLED: "killed after their grace",
    Status.CANCELLING: "left as they are",
}


def tell_facts(start: StartBatch, preview: BatchProgress) -> None:
    """Say on stderr what the batch would act on, by status, service, deployment and age; or why that is not known.

    preview: the end of the dry run.
    """
    ids = start.filter.invocation_ids or ()
    if len(ids) > _MOST_IDS:
        err.print(f"  not looked up by status, service and age: {len(ids):,} ids are too many", markup=False)
        return
    try:
        lines = list(_facts(gateway_of_command(), start, preview))
    except (GatewayError, typer.BadParameter) as error:
        err.print(f"  not known by status, service and age: {_brief(error)}", markup=False)
        return
    if start.limit is not None:
        err.print("  of all that match, beyond the limit too:")
    for name, told in lines:
        err.print(f"  {name:<13}  {told}", markup=False)


def _facts(gateway: Gateway, start: StartBatch, preview: BatchProgress) -> Iterator[tuple[str, str]]:
    acted_on = tuple(status for status in Status if status in looked_at(start.action))
    chosen = replace(start.filter, statuses=start.filter.statuses or acted_on)
    by_service = gateway.counts(chosen, "service")
    yield "by status", ", ".join(f"{status} {number:,}" for status, number in by_service["counts"].items()) or "none"
    yield "by service", _largest(by_service["groups"])
    yield "by deployment", _largest(gateway.counts(chosen, "deployment_id")["groups"])
    newest, oldest = _ends_of_time(gateway, chosen, preview, by_service["total"])
    now = wall_clock()
    for name, at in (("newest", newest), ("oldest", oldest)):
        if at is not None:
            yield name, f"created {iso(at)}, {ago(at, now)} ago"
    if by_service["missing_partitions"]:
        yield "without", f"partitions that gave no answer: {', '.join(map(str, by_service['missing_partitions']))}"


def _largest(groups: Iterable[dict[str, Any]]) -> str:
    ordered = largest_first(groups)
    named = [
        f"{'none' if group.get('value') is None else group['value']} {sum(group['counts'].values()):,}"
        for group in ordered[:_GROUPS_SHOWN]
    ]
    left = len(ordered) - len(named)
    return ", ".join([*named, *([f"{left:,} others"] if left else [])]) or "none"


def _ends_of_time(
    gateway: Gateway, chosen: Filter, preview: BatchProgress, total: int
) -> tuple[int | None, int | None]:
    """When the newest and the oldest were created; None where that is not known."""
    few = total <= _ONE_PAGE
    items = [item for page in gateway.pages(chosen, _ONE_PAGE if few else 1) for item in page.items]
    newest = ms_of(items[0]["created_at"]) if items else None
    if few or chosen.invocation_ids is not None:
        return newest, ms_of(items[-1]["created_at"]) if items and few else None
    # A slice goes from the oldest row to the newest, and its first sample is the first that matched.
    slices = (gateway.batch(preview.batch_id) or {}).get("slices", ())
    first = tuple(each["samples"][0] for each in slices if each.get("samples"))
    found = [item for page in gateway.pages(Filter(invocation_ids=first), None) for item in page.items] if first else []
    return newest, min((ms_of(item["created_at"]) for item in found), default=None)


def ends_of(progress: BatchProgress) -> dict[str, int] | None:
    """How those that a cancel has asked have ended, by status; None where nobody knows, which is said on stderr."""
    if progress.action is not Action.CANCEL or progress.dry_run or progress.state is not BatchState.COMPLETED:
        return None
    counts: dict[str, int] = {}
    try:
        gateway = gateway_of_command()
        for tries in range(_TRIES):
            counts = gateway.counts(Filter(batch_ids=(progress.batch_id,)))["counts"]
            if sum(counts.get(status, 0) for status in TERMINAL) >= progress.done or tries == _TRIES - 1:
                break
            time.sleep(_PAUSE_S)
    except (GatewayError, typer.BadParameter) as error:
        err.print(f"how they have ended is not known: {_brief(error)}", markup=False)
        return None
    return counts


def ends_in_words(counts: Mapping[str, int]) -> str:
    """The ends of a cancel, in words."""
    told = [f"{counts[status]:,} {words}" for status, words in _ENDS.items() if counts.get(status)]
    return ", ".join(told) or "forgotten by now"


def _brief(error: Exception) -> str:
    """An error without its cause and the way out."""
    return str(error).partition(" (")[0]
