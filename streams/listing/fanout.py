"""The gateway's side of queries: every worker is asked at once, and the answers are merged."""

from __future__ import annotations

import asyncio
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import aiohttp
import structlog

from streams.clock import wall_clock
from streams.listing.cursor import decode_cursor, encode_cursor
from streams.listing.merging import by_partition, merged
from streams.listing.query import (
    CountAnswer,
    CountedGroup,
    CountQuery,
    CountRequest,
    ListAnswer,
    ListRequest,
    OneAnswer,
    OneRequest,
    QueryRefusedError,
    Reached,
    check_query,
    decode_answer,
    encode_query,
)
from streams.listing.signing import NONCE_HEADER, SIGNATURE_HEADER, NotSignedError, check_answer, signed
from streams.protocol.routing import partition_of, routing_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from streams.listing.merging import Key
    from streams.listing.query import ListQuery, OneQuery, PartitionCounts
    from streams.listing.signing import QuerySecret
    from streams.listing.views import InvocationView
    from streams.model import Record, Status, WorkerAddress

log = structlog.get_logger("streams.listing")

_A = TypeVar("_A", ListAnswer, CountAnswer, OneAnswer)
_CONNECT_S: Final = 1.0
_ANSWER_S: Final = 5.0
_COUNT_S: Final = 15.0
_AGAIN_S: Final = 0.25
"""Pause before partitions that gave no answer are asked again, seconds: one that moves has a new address by then."""


class InvocationPage(NamedTuple):
    """A page of a list.

    `items` may be fewer than asked for, even none, while there is a `next_cursor`. A partition of `missing_partitions`
    gave no answer; the next page asks it again. `as_of`: ms since 1970, when the oldest of the answers was true.
    """

    items: tuple[InvocationView, ...]
    next_cursor: str | None
    as_of: int
    missing_partitions: tuple[int, ...]


class InvocationCounts(NamedTuple):
    """Counts over all partitions but the missing ones; `exact`: there are none. One group if not grouped."""

    groups: tuple[CountedGroup, ...]
    as_of: int
    exact: bool
    missing_partitions: tuple[int, ...]


class FoundInvocation(NamedTuple):
    """One invocation. `missing`: its partition gave no answer; else `view` is None if there is no such invocation."""

    view: InvocationView | None
    partition: int
    as_of: int
    missing: bool


class ServedPartition(NamedTuple):
    """A partition and its worker; `counts` is None, with what it cannot know, if it gave no answer."""

    partition: int
    address: WorkerAddress | None
    counts: PartitionCounts | None


class FanOut:
    """Asks the workers. Use it in one event loop, and close it there.

    Args:
        addresses: the newest address of each partition as known now.
        partitions: the number of partitions as known now; 0: not known yet.
        secret: signs the requests; None: workers of this machine only.
        now: wall clock, ms.
    """

    def __init__(
        self,
        addresses: Callable[[], Mapping[int, WorkerAddress]],
        partitions: Callable[[], int],
        secret: QuerySecret | None = None,
        now: Callable[[], int] = wall_clock,
    ) -> None:
        self._addresses = addresses
        self._partitions = partitions
        self._secret = secret
        self._now = now
        self._session: aiohttp.ClientSession | None = None
        self._silent: set[str] = set()
        """Workers that gave no answer to the last question."""

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def page(self, query: ListQuery) -> InvocationPage:
        """A page of a list.

        Raises:
            QueryRefusedError: a limit out of bounds, an unclear filter, or a cursor that is none or belongs to another.
        """
        check_query(query.filter, query.limit)
        begun: dict[int, int | None] = dict.fromkeys(range(self._partitions()))
        places = begun if query.cursor is None else decode_cursor(query.cursor, query.filter)

        def request(partitions: Collection[int]) -> ListRequest:
            return ListRequest(query.filter, query.limit, {partition: places[partition] for partition in partitions})

        answers = await self._ask("list", places, request, ListAnswer, lambda answer: answer.reached)
        views = {_key(view): view for answer in answers for view in answer.items}
        reached: dict[int, Reached] = {}
        for answer in answers:
            reached |= answer.reached
        page = merged(by_partition(views), reached, query.limit)
        missing = places.keys() - reached.keys()
        left: dict[int, int | None] = {partition: place.seq for partition, place in page.left.items()}
        left |= {partition: places[partition] for partition in missing}
        return InvocationPage(
            tuple(views[key] for key in page.keys),
            encode_cursor(query.filter, left) if left else None,
            self._as_of(answers),
            tuple(sorted(missing)),
        )

    async def counts(self, query: CountQuery) -> InvocationCounts:
        """Counts by status, and by the value of `group_by`; raises `QueryRefusedError` for an unclear filter."""
        check_query(query.filter)
        wanted = range(self._partitions())
        answers, found = await self._counted(query, wanted)
        sums: dict[str | None, Counter[Status]] = {}
        for counted in found.values():
            for group in counted.groups:
                sums.setdefault(group.value, Counter()).update(group.counts)
        groups = tuple(CountedGroup(dict(counts), value) for value, counts in sums.items())
        missing = tuple(partition for partition in wanted if partition not in found)
        return InvocationCounts(groups, self._as_of(answers), not missing, missing)

    async def one(self, query: OneQuery) -> FoundInvocation:
        """One invocation."""
        partition = partition_of(routing_key(query.invocation_id), max(1, self._partitions()))

        def request(_: Collection[int]) -> OneRequest:
            return OneRequest(query.invocation_id, partition, query.payload)

        answers = await self._ask(
            "one", (partition,), request, OneAnswer, lambda answer: (partition,) if answer.owned else ()
        )
        found = next((answer for answer in answers if answer.owned), None)
        view = None if found is None else found.view
        return FoundInvocation(view, partition, self._as_of(answers), missing=found is None)

    async def partitions(self) -> list[ServedPartition]:
        """Every partition with its worker and its counts."""
        wanted, addresses = range(self._partitions()), self._addresses()
        _, found = await self._counted(CountQuery(), wanted)
        return [ServedPartition(each, addresses.get(each), found.get(each)) for each in wanted]

    async def _counted(
        self, query: CountQuery, wanted: Collection[int]
    ) -> tuple[list[CountAnswer], dict[int, PartitionCounts]]:
        def request(partitions: Collection[int]) -> CountRequest:
            return CountRequest(query.filter, tuple(sorted(partitions)), query.group_by)

        answers = await self._ask("count", wanted, request, CountAnswer, lambda answer: answer.partitions)
        return answers, {number: counts for answer in answers for number, counts in answer.partitions.items()}

    def _as_of(self, answers: Collection[ListAnswer | CountAnswer | OneAnswer]) -> int:
        return min((answer.as_of for answer in answers), default=self._now())

    # --- asking ---

    async def _ask(
        self,
        path: str,
        partitions: Collection[int],
        request: Callable[[Collection[int]], Record],
        kind: type[_A],
        answered: Callable[[_A], Collection[int]],
    ) -> list[_A]:
        """The answers of all workers; partitions that gave none are asked once more, by fresh addresses.

        Args:
            path: the last part of the path.
            partitions: those that are wanted.
            request: makes the request about some of them.
            kind: of the answer.
            answered: the partitions that an answer is about.
        """
        answers: list[_A] = []
        left = set(partitions)
        for pause in (0.0, _AGAIN_S):
            if not left:
                break
            await asyncio.sleep(pause)
            by_url: dict[str, set[int]] = {}
            for partition, address in self._addresses().items():
                if partition in left:
                    by_url.setdefault(address.url, set()).add(partition)
            asked = (self._ask_worker(url, path, request(theirs), kind) for url, theirs in by_url.items())
            came = [answer for answer in await asyncio.gather(*asked) if answer is not None]
            answers += came
            left.difference_update(*map(answered, came))
        return answers

    async def _ask_worker(self, url: str, path: str, request: Record, kind: type[_A]) -> _A | None:
        """A worker's answer; None if it gives none that can be trusted, which is logged once."""
        try:
            status, body = await self._post(url, f"/queries/{path}", encode_query(request), kind)
            if status == HTTPStatus.OK:
                self._silent.discard(url)
                return decode_answer(kind, body)
            why = f"{status}: {body[:200].decode('utf-8', 'replace').strip()}"
        except (aiohttp.ClientError, TimeoutError, NotSignedError, QueryRefusedError, OSError) as error:
            why = str(error) or type(error).__name__
        if url not in self._silent:
            self._silent.add(url)
            log.warning("a worker gave no answer", url=url, query=path, why=why)
        return None

    async def _post(self, url: str, path: str, body: bytes, kind: type[Record]) -> tuple[int, bytes]:
        headers, nonce, key = {"Content-Type": "application/json"}, "", None
        if self._secret is not None:
            key = self._secret.key()
            headers |= signed(key, "POST", path, "", body, self._now())
            nonce = headers[NONCE_HEADER]
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        wait = aiohttp.ClientTimeout(_COUNT_S if kind is CountAnswer else _ANSWER_S, connect=_CONNECT_S)
        async with self._session.post(
            f"{url}{path}", data=body, headers=headers, timeout=wait, allow_redirects=False
        ) as answer:
            content = await answer.read()
            # A refusal of the signature cannot be signed itself.
            if key is not None and answer.status != HTTPStatus.UNAUTHORIZED:
                check_answer(key, nonce, answer.status, content, answer.headers.get(SIGNATURE_HEADER))
            return answer.status, content


def _key(view: InvocationView) -> Key:
    return view.created_at, view.partition, view.seq
