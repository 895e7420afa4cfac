"""Dead letters: listed, and sent again."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from streams.client import DeadLetterReader
from streams.client.dead_letters import brief
from streams.client.errors import DeliveryError
from streams.client.replay import send_again, was_applied, why_not
from streams.codec.json_form import Fault, to_json
from streams.errors import StreamsError
from streams.gateway.access.callers import Role
from streams.gateway.api.bodies import ReplayBody, json_of, record_of
from streams.gateway.api.callers import caller_of, require_same_engine, services_of
from streams.gateway.api.problems import FaultsError, ProblemError
from streams.gateway.api.queries import Parameters
from streams.gateway.sending import NotAcceptedError, NotKnownError

if TYPE_CHECKING:
    from streams.client import DeadLetter
    from streams.gateway.api.services import Services

MOST: Final = 500
"""Most dead letters of a list."""
_READ_S: Final = 20.0

router = APIRouter(prefix="/api/v1", tags=["dead letters"])


@router.get("/dead-letters")
async def get_dead_letters(request: Request) -> Response:
    """The newest dead letters, newest first; the records in them only for operators."""
    asked = Parameters(request, ("code", "limit"))
    codes = asked.many("code")
    limit = asked.whole("limit", 100, 1, MOST)
    asked.require_sound()
    letters = [each for each in await _all(services_of(request)) if not codes or each.code in codes]
    values = caller_of(request).role is Role.OPERATOR
    newest = letters[: -limit - 1 : -1]
    return JSONResponse({"items": [_shown(each, values=values) for each in newest], "total": len(letters)})


@router.post("/dead-letters/replay")
async def post_replay(request: Request) -> Response:
    """Send the originals again, each to its partition of the log; the dead letters stay where they are."""
    services = services_of(request)
    body = record_of(ReplayBody, await json_of(request))
    if sum((body.places is not None, body.codes is not None, body.all)) != 1:
        raise FaultsError([Fault("", "says which by places, by codes or by all: give one of the three")])
    await require_same_engine(services)
    letters = _chosen(await _all(services), body)
    applied = [each.place for each in letters if was_applied(each)]
    left = [each for each in letters if not was_applied(each)]
    refused = {each.place: why for each in left if (why := why_not(each)) is not None}
    sound = [each for each in left if each.place not in refused]
    if sound:
        try:
            await asyncio.to_thread(send_again, services.settings, services.clients, sound)
        except DeliveryError as error:
            raise NotKnownError(str(error)) from error
        except StreamsError as error:
            raise NotAcceptedError(str(error)) from error
    told = {"sent": [each.place for each in sound], "refused": refused, "passed_over": applied}
    return JSONResponse(told, HTTPStatus.ACCEPTED)


async def _all(services: Services) -> list[DeadLetter]:
    reader = DeadLetterReader(services.settings, services.clients)
    try:
        return await asyncio.to_thread(reader.all, _READ_S)
    except StreamsError as error:
        raise ProblemError(503, "broker", str(error), headers={"Retry-After": "2"}) from error


def _chosen(letters: list[DeadLetter], body: ReplayBody) -> list[DeadLetter]:
    if body.codes is not None:
        return [each for each in letters if each.code in body.codes]
    if body.places is None:
        return letters
    by_place = {each.place: each for each in letters}
    missing = [place for place in body.places if place not in by_place]
    if missing:
        raise FaultsError([Fault("places", f"names {', '.join(missing[:20])}, where there is no dead letter")])
    return [by_place[each] for each in dict.fromkeys(body.places)]


def _shown(letter: DeadLetter, *, values: bool) -> dict[str, Any]:
    shown = brief(letter)
    if (refused := why_not(letter)) is not None:
        shown["not_sent_again"] = refused
    if values and (record := letter.decoded) is not None:
        shown["record"] = {"type": type(record).__name__, **to_json(record, whole=False)}
    return shown
