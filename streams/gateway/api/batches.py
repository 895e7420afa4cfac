"""Batches: started, controlled, looked at."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from msgspec.structs import asdict, replace

from streams.client import compose, new_batch_id
from streams.codec.json_form import Fault, time_text, to_json
from streams.gateway.api.bodies import ControlBatchBody, StartBatchBody, command_of, json_of
from streams.gateway.api.callers import caller_of, require_ready, require_same_engine, services_of
from streams.gateway.api.faults import fault_of
from streams.gateway.api.listed import page_of
from streams.gateway.api.paths import id_of
from streams.gateway.api.problems import FaultsError, ProblemError
from streams.gateway.api.queries import Parameters
from streams.model import FINAL_STATES, Action, BatchState, ControlOperation, StartBatch
from streams.protocol.content import content_hash
from streams.protocol.validation import id_fault

if TYPE_CHECKING:
    from streams.gateway.api.services import Services
    from streams.gateway.board import Board
    from streams.model import BatchHeader, BatchProgress, ControlBatch

SEEN_WITHIN_S: Final = 2.0
"""How long a start waits for the batch's header, seconds."""
MOST: Final = 200
"""Most batches of a page."""

_KEY: Final = "Idempotency-Key"
_PARAMETERS: Final = (
    "state",
    "action",
    "actor",
    "created_from",
    "created_until",
    "dry_run",
    "batch_id",
    "limit",
    "cursor",
)

router = APIRouter(prefix="/api/v1", tags=["batches"])


@router.post("/batches")
async def post_batch(request: Request) -> Response:
    """Start a batch: one command, whatever it matches.

    Sent again with the same `batch_id` or `Idempotency-Key` and the same content, it changes nothing. Once the batch is
    known, within 2 s, the answer is its state. Otherwise it is only the id, with `Retry-After`.
    """
    services = services_of(request)
    start = _start_of(request, await json_of(request))
    await require_ready(services)
    if (known := services.board.batches.header(start.batch_id)) is not None:
        return _started(services, start, known)
    await require_same_engine(services)
    await services.commands.send(start)
    if services.board.batches.header(start.batch_id) is None:
        services.board.accepted.add(start.batch_id)
    header = await _header(services.board, start.batch_id, SEEN_WITHIN_S)
    if header is None:
        return JSONResponse(
            {"batch_id": start.batch_id}, HTTPStatus.ACCEPTED, {"Location": _location(start), "Retry-After": "1"}
        )
    return _started(services, start, header)


@router.get("/batches")
async def get_batches(request: Request) -> Response:
    """Batches, newest first."""
    services = services_of(request)
    asked = Parameters(request, _PARAMETERS)
    states = asked.symbols("state", list(BatchState))
    actions = asked.symbols("action", list(Action))
    actors, ids = frozenset(asked.many("actor")), frozenset(asked.many("batch_id"))
    dry_run = asked.flag("dry_run")
    since, until = asked.time("created_from"), asked.time("created_until")
    limit, cursor = asked.whole("limit", 50, 1, MOST), asked.one("cursor")
    asked.require_sound()
    await require_ready(services)

    def wanted(batch: BatchProgress) -> bool:
        return (
            (not states or batch.state in states)
            and (not actions or batch.action in actions)
            and (not actors or batch.actor in actors)
            and (not ids or batch.batch_id in ids)
            and (dry_run is None or batch.dry_run is dry_run)
            and (since is None or batch.created_at >= since)
            and (until is None or batch.created_at < until)
        )

    said = [sorted(states), sorted(actions), sorted(actors), sorted(ids), dry_run, since, until]
    batches = services.board.batches
    return await page_of(batches.newest, batches.progress, wanted, said, limit, cursor)


@router.get("/batches/{batch_id}")
async def get_batch(request: Request, batch_id: str) -> Response:
    """One batch: its progress, its header, its slices by partition, and starts that were refused as its id is taken."""
    services = services_of(request)
    await require_ready(services)
    name = id_of("batch_id", batch_id)
    progress = services.board.batches.progress(name)
    if progress is None:
        raise unknown_batch(name)
    records = services.board.batches.records(name)
    assert records.header is not None  # noqa: S101 - there is no progress without one
    body = to_json(progress) | {
        "header": to_json(replace(records.header, content_hash=None)),
        "slices": [to_json(records.slices[each]) for each in sorted(records.slices)],
        "conflicts": _conflicts(services.board, name, records.header),
    }
    return JSONResponse(body)


@router.post("/batch-controls")
async def post_batch_control(request: Request) -> Response:
    """Pause, resume, abort or throttle a batch."""
    services = services_of(request)

    def made(body: Any) -> ControlBatch:
        options: compose.ControlOptions = {"actor": caller_of(request).name}
        if body.max_rate is not None:
            options["max_rate"] = body.max_rate
        return compose.control(body.batch_id, body.operation, options)

    control = command_of(ControlBatchBody, await json_of(request), made)
    await require_ready(services)
    _require_open(services, control.batch_id, control.operation)
    await require_same_engine(services)
    await services.commands.send(control)
    return JSONResponse(to_json(control), HTTPStatus.ACCEPTED)


def unknown_batch(name: str) -> ProblemError:
    """404 for a batch."""
    return ProblemError(HTTPStatus.NOT_FOUND, "unknown-batch", f"there is no batch {name}, or it is forgotten")


def _start_of(request: Request, fields: dict[str, Any]) -> StartBatch:
    key = _idempotency_key(request)
    if key is not None and fields.get("batch_id") is None and (fault := id_fault(key)):
        raise FaultsError([Fault(_KEY, fault)])

    def made(body: Any) -> StartBatch:
        batch_id = body.batch_id or key or new_batch_id()
        return StartBatch(**asdict(body) | {"batch_id": batch_id, "actor": caller_of(request).name})

    start = command_of(StartBatchBody, fields, made)
    if key is not None and key != start.batch_id:
        raise FaultsError(
            [Fault("batch_id", f"is {start.batch_id}, and {_KEY} is {key}: give one of them, or the same")]
        )
    return start


def _idempotency_key(request: Request) -> str | None:
    keys = [value for name, value in request.scope["headers"] if name == _KEY.lower().encode()]
    if len(keys) > 1:
        raise FaultsError([Fault(_KEY, "is given more than once")])
    if not keys:
        return None
    try:
        return str(keys[0].decode("utf-8"))
    except UnicodeDecodeError:
        raise FaultsError([Fault(_KEY, "is not UTF-8")]) from None


async def _header(board: Board, batch_id: str, within_s: float) -> BatchHeader | None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while (header := board.batches.header(batch_id)) is None and (left := deadline - loop.time()) > 0:
        await board.changed(left)
    return header


def _started(services: Services, start: StartBatch, header: BatchHeader) -> Response:
    """The answer once the batch of this id is known: it is ours, or it is not."""
    others = differing_fields(start, header)
    if others:
        detail = f"batch_id {start.batch_id} is taken by a batch with another {', '.join(others)}: use a new id"
        raise ProblemError(
            HTTPStatus.CONFLICT, "batch-id-taken", detail, field="batch_id", differs=others, batch_id=start.batch_id
        )
    if header.state is BatchState.REJECTED and header.error:
        raise FaultsError([fault_of(header.error)])
    progress = services.board.batches.progress(start.batch_id)
    body = {"batch_id": start.batch_id} if progress is None else to_json(progress, whole=False)
    return JSONResponse(body, HTTPStatus.ACCEPTED, {"Location": _location(start)})


def differing_fields(start: StartBatch, header: BatchHeader) -> list[str]:
    """The fields in which a start differs from the batch that has its id; empty if it is the same command."""
    if header.content_hash == content_hash(start):
        return []
    ids = start.filter.invocation_ids
    said = replace(start, filter=replace(start.filter, invocation_ids=None))
    # The lead fills in the grace of a cancel, and a control may have changed the rate.
    ignored = {"batch_id", *(["grace_ms"] if start.grace_ms is None else []), "max_rate"}
    fields = [name for name in StartBatch.__struct_fields__ if name not in ignored]
    others = [name for name in fields if getattr(said, name) != getattr(header, name)]
    if (None if ids is None else len(set(ids))) != header.invocation_ids_count and "filter" not in others:
        others.append("filter")
    if header.content_hash is None or others:
        return others
    return ["filter.invocation_ids"] if ids else ["max_rate or grace_ms"]


def _require_open(services: Services, batch_id: str, operation: ControlOperation) -> None:
    progress = services.board.batches.progress(batch_id)
    if progress is None:
        if batch_id not in services.board.accepted:
            raise unknown_batch(batch_id)
        return
    if progress.state in FINAL_STATES:
        detail = f"batch {batch_id} is over: it is {progress.state}"
        raise ProblemError(HTTPStatus.CONFLICT, "batch-over", detail, field="batch_id", state=progress.state.value)
    if operation is ControlOperation.SET_RATE and progress.standing_until is not None:
        raise FaultsError([Fault("max_rate", "is for batches that do not stand: what arrives is ended at once")])


def _conflicts(board: Board, batch_id: str, header: BatchHeader) -> list[dict[str, Any]]:
    found = []
    for each in board.conflicts.conflicts.get(batch_id, ()):
        said = (
            {} if each.start is None else {"actor": each.start.actor, "differs": differing_fields(each.start, header)}
        )
        place = {"dead_letter": f"{each.partition}:{each.offset}", "timestamp": time_text(each.timestamp)}
        found.append({**place, **{name: value for name, value in said.items() if value is not None}})
    return found


def _location(start: StartBatch) -> str:
    return f"/api/v1/batches/{quote(start.batch_id, safe='')}"
