"""The gateway's HTTP API, as the command line uses it to look at invocations."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import typer

from streams.cli.context import connection_of_command
from streams.codec.json_form import to_json
from streams.config import variable
from streams.errors import StreamsError
from streams.model import Filter, Status
from streams.protocol.typed_labels import typed_label

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

    from streams.config import Settings

_PREFIX: Final = "/api/v1"
_PATIENCE_S: Final = 30.0
_CONNECT_S: Final = 5.0
_MOST_ROWS: Final = 500
"""Most rows that one request may ask for."""
_QUERY_CHARS: Final = 6_000
"""How long the ids in one request's query may be: servers cut a request line at 8,000 characters or more."""
_NOT_NOW: Final = frozenset({429, 503})
_NO_SEGMENTS: Final = frozenset({".", ".."})
"""Ids that a path cannot carry."""
_MOST_TRIES: Final = 5
_LONGEST_WAIT_S: Final = 10.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_TOKEN: Final = variable("gateway_token")
_NAME_ANOTHER: Final = f"{variable('gateway_url')} names another"
_SINGULAR: Final = {
    "services": "service",
    "handlers": "handler",
    "object_keys": "object_key",
    "deployment_ids": "deployment_id",
    "statuses": "status",
    "flow_ids": "flow_id",
    "parent_ids": "parent_id",
    "batch_ids": "batch_id",
}

Parameters = Sequence[tuple[str, str]]
"""The parameters of a query, by name; a name may come several times."""
HTTP: ContextVar[httpx.Client | None] = ContextVar("http", default=None)
"""The HTTP client to use; None: one of its own for each command."""


class GatewayError(StreamsError):
    """The gateway gave no answer, or refused; the message says what to do."""


class GatewayNotReadyError(GatewayError):
    """The gateway has no answer now, and may soon have one."""


class GatewayUnreachableError(GatewayNotReadyError):
    """Nobody answers at the gateway's address."""


class _UnknownError(GatewayError):
    """The gateway does not know what was asked for."""


class ListPage(NamedTuple):
    """Some invocations, newest first; there may be more even if these are none."""

    items: list[dict[str, Any]]
    next_cursor: str | None
    as_of: str | None
    missing: list[int]


class Gateway:
    """A gateway's API.

    Any of its methods raises a `GatewayError` if the gateway gives no answer or refuses, and a `typer.BadParameter` if
    the request breaks a rule.
    """

    def __init__(self, settings: Settings, http: httpx.Client) -> None:
        self._settings = settings
        self._http = http
        self._url = settings.gateway_url.rstrip("/")

    def pages(self, chosen: Filter, limit: int | None, cursor: str | None = None) -> Iterator[ListPage]:
        """Pages of the invocations that match, up to `limit` in all; None: all of them.

        A long list of ids is asked for in parts. Rows are newest first within each part, and no cursor may be given.
        A partition is missing if it gave no answer at the end of any part.
        """
        left = limit
        missing: set[int] = set()
        for parameters in _queries(chosen):
            while True:
                rows = _MOST_ROWS if left is None else min(left, _MOST_ROWS)
                place = [] if cursor is None else [("cursor", cursor)]
                page = _page(self._get("/invocations", [*parameters, ("limit", str(rows)), *place]))
                left = None if left is None else left - len(page.items)
                yield page._replace(missing=sorted(missing.union(page.missing)))
                if left == 0:
                    return
                # A partition that gives no answer is asked again by each page: the place may never move.
                if page.next_cursor is None or (page.next_cursor == cursor and not page.items):
                    break
                cursor = page.next_cursor
            missing.update(page.missing)
            cursor = None

    def counts(self, chosen: Filter, group_by: str | None = None) -> dict[str, Any]:
        """The numbers of invocations that match, by status, and by a field as well: the API's answer.

        `total`, `counts` by status, `groups` with `value` and `counts`, `as_of`, `exact` and `missing_partitions`.
        """
        group = [] if group_by is None else [("group_by", group_by)]
        answers = [self._get("/invocation-counts", [*parameters, *group]) for parameters in _queries(chosen)]
        return answers[0] if len(answers) == 1 else _added(answers)

    def invocation(self, invocation_id: str, *, payload: bool = False) -> dict[str, Any] | None:
        """One invocation; None if there is none with that id. The payload only if asked for."""
        if invocation_id in _NO_SEGMENTS:
            (page,) = self.pages(Filter(invocation_ids=(invocation_id,)), 1)
            return next(iter(page.items), None)
        return self._one(f"/invocations/{quote(invocation_id, safe='')}", [("payload", "true")] if payload else [])

    def batch(self, batch_id: str) -> dict[str, Any] | None:
        """One batch with its slices; None if it is not known."""
        return self._one(f"/batches/{quote(batch_id, safe='')}")

    def _one(self, path: str, parameters: Parameters = ()) -> dict[str, Any] | None:
        try:
            return self._get(path, parameters)
        except _UnknownError:
            return None

    def _get(self, path: str, parameters: Parameters) -> dict[str, Any]:
        import httpx  # noqa: PLC0415 - no other verb needs it

        for tries in range(_MOST_TRIES):
            try:
                answer = self._http.get(f"{self._url}{_PREFIX}{path}", params=urlencode(parameters))
            except httpx.TimeoutException as error:
                raise self._unreachable(f"has not answered within {_PATIENCE_S:g} s", error) from None
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise self._unreachable("does not answer", error) from None
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS or tries == _MOST_TRIES - 1:
                break
            time.sleep(_wait_s(answer.headers))
        return self._read(answer)

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            body = answer.json()
        except ValueError:
            body = None
        if answer.is_success and isinstance(body, dict):
            return body
        if not isinstance(body, dict) or "detail" not in body:
            told = f"HTTP {answer.status_code}{', without JSON' if body is None else ''}"
            raise GatewayError(
                f"what answers at {self._url} is not a gateway of this release ({told}); {_NAME_ANOTHER}"
            )
        raise self._refusal(answer.status_code, str(body["detail"]))

    def _refusal(self, status: int, detail: str) -> Exception:
        told = f"the gateway at {self._url}"
        match status:
            case 401 if self._settings.gateway_token is None:
                return GatewayError(
                    f"{told} wants a token: set {_TOKEN}; `streams token new NAME --role viewer` makes one"
                )
            case 401:
                return GatewayError(f"{told} does not know the token of {_TOKEN}: {detail}")
            case 403:
                return GatewayError(f"the token of {_TOKEN} may not do that: {detail}")
            case 404:
                return _UnknownError(f"{told} does not know that: {detail}")
            case 400 | 422:
                return typer.BadParameter(detail)
            case _:
                kind = GatewayNotReadyError if status in _NOT_NOW else GatewayError
                return kind(f"{told} refuses, HTTP {status}: {detail}")

    def _unreachable(self, what: str, error: Exception) -> GatewayUnreachableError:
        why = str(error) or type(error).__name__
        return GatewayUnreachableError(
            f"the gateway at {self._url} {what} ({why}): is one running? `streams gateway` starts one, `streams up` a "
            f"whole service; {_NAME_ANOTHER}"
        )


def gateway_of_command() -> Gateway:
    """The gateway of the settings of the verb that runs."""
    settings = connection_of_command().settings
    given = HTTP.get()
    return Gateway(settings, _http(settings) if given is None else given)


def _http(settings: Settings) -> httpx.Client:
    import httpx  # noqa: PLC0415 - no other verb needs it

    token = settings.gateway_token
    return httpx.Client(
        headers={"Accept": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"}),
        timeout=httpx.Timeout(_PATIENCE_S, connect=_CONNECT_S),
        # The proxy of the way out does not lead back to this machine.
        trust_env=urlsplit(settings.gateway_url).hostname not in _LOOPBACK,
    )


def _queries(chosen: Filter) -> Iterator[Parameters]:
    """The filter as query parameters: of one request, or of several if it names many ids."""
    rest = _parameters(to_json(chosen))
    ids = chosen.invocation_ids
    if ids is None:
        yield rest
        return
    part: list[tuple[str, str]] = []
    size = 0
    for each in ids:
        length = len(quote_plus(each)) + len("&invocation_id=")
        if part and size + length > _QUERY_CHARS:
            yield [*rest, *part]
            part, size = [], 0
        part.append(("invocation_id", each))
        size += length
    if part:  # without ids, the query would mean all
        yield [*rest, *part]


def _parameters(said: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in said.items():
        match name:
            case "match_all" | "invocation_ids":
                continue
            case "exclude":
                found += _parameters(value, "not_")
            case "labels":
                found += [(f"{before}label", typed_label(key, each)) for key, each in value.items()]
            case "labels_in":
                found += [
                    (f"{before}label", typed_label(key, each)) for key, values in value.items() for each in values
                ]
            case _ if name in _SINGULAR:
                found += [(f"{before}{_SINGULAR[name]}", each) for each in value]
            case _:
                found.append((f"{before}{name}", str(value)))
    return found


def _page(body: Mapping[str, Any]) -> ListPage:
    return ListPage(
        list(body.get("items") or ()),
        body.get("next_cursor"),
        body.get("as_of"),
        list(body.get("missing_partitions") or ()),
    )


def _added(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """The counts of several questions as those of one."""
    counts: Counter[str] = Counter()
    groups: dict[str | None, Counter[str]] = {}
    for answer in answers:
        counts.update(answer["counts"])
        for group in answer.get("groups", ()):
            groups.setdefault(group.get("value"), Counter()).update(group["counts"])
    missing = sorted({partition for answer in answers for partition in answer["missing_partitions"]})
    listed = [{"counts": dict(each)} | ({} if value is None else {"value": value}) for value, each in groups.items()]
    return {
        "total": counts.total(),
        "counts": {str(status): counts[status] for status in Status if counts[status]},
        "exact": not missing,
        **({"group_by": answers[0]["group_by"], "groups": listed} if groups else {}),
        "as_of": min(answer["as_of"] for answer in answers),
        "missing_partitions": missing,
    }


def _wait_s(headers: Mapping[str, str]) -> float:
    """The pause that a refusal asks for, seconds."""
    try:
        return min(max(0.0, float(headers.get("Retry-After", "1"))), _LONGEST_WAIT_S)
    except ValueError:
        return 1.0
