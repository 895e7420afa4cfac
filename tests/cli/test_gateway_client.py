"""What the command line says of a gateway that does not answer as it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from streams.cli import gateway
from streams.cli.gateway import Gateway, GatewayError, GatewayUnreachableError
from streams.config import load_settings
from streams.model import Exclusion, Filter
from support.service.invocations_api import InvocationsApi, problem, view

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.stand_in import Service

SECRET = "s" * 43
URL = "http://streams.example:8080/behind"


def _gateway(answer: Callable[[httpx.Request], httpx.Response], token: str | None = None) -> Gateway:
    settings = load_settings(gateway_url=f"{URL}/", gateway_token=token)
    return Gateway(settings, httpx.Client(transport=httpx.MockTransport(answer)))


def _fails(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    return answer


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (httpx.ConnectError("Connection refused"), "does not answer (Connection refused)"),
        (httpx.RemoteProtocolError(""), "does not answer (RemoteProtocolError)"),
        (httpx.ReadTimeout("timed out"), "has not answered within 30 s (timed out)"),
    ],
)
def test_a_gateway_that_nobody_reaches_is_one_clear_line(error: Exception, said: str) -> None:
    """With its address, the programs that start one and the variable that names another."""
    with pytest.raises(GatewayUnreachableError) as caught:
        _gateway(_fails(error)).counts(Filter())
    assert str(caught.value) == (
        f"the gateway at {URL} {said}: is one running? `streams gateway` starts one, `streams up` a whole service; "
        "STREAMS_GATEWAY_URL names another"
    )


@pytest.mark.parametrize(
    ("response", "token", "said"),
    [
        (problem(401, "no token"), None, f"the gateway at {URL} wants a token: set STREAMS_GATEWAY_TOKEN"),
        (problem(401, "unknown token"), "x", "does not know the token of STREAMS_GATEWAY_TOKEN: unknown token"),
        (problem(403, "a payload needs operator"), "x", "STREAMS_GATEWAY_TOKEN may not do that: a payload needs"),
        (problem(503, "partition 3 is served by no worker now"), None, "refuses, HTTP 503: partition 3 is served by"),
        (httpx.Response(502, text="<html>"), None, "is not a gateway of this release (HTTP 502, without JSON)"),
        (httpx.Response(404, json={"detail_": 1}), None, "is not a gateway of this release (HTTP 404)"),
        (httpx.Response(200, json=[]), None, "is not a gateway of this release (HTTP 200)"),
    ],
)
def test_a_refusal_is_told_with_the_way_out(response: httpx.Response, token: str | None, said: str) -> None:
    """The token itself is never told."""
    with pytest.raises(GatewayError) as caught:
        _gateway(lambda _: response, token).counts(Filter())
    assert said in str(caught.value)


def test_what_breaks_a_rule_is_a_usage_error(service: Service) -> None:
    """Exit code 2, with the API's own words."""
    service.api = lambda _: problem(422, "cursor belongs to another filter: leave it out")
    result = service.run("invocation", "list", "--cursor", "x")
    assert result.exit_code == 2
    assert "cursor belongs to another filter" in " ".join(result.stderr.replace("│", " ").split())


def test_a_label_is_sent_as_the_api_reads_it() -> None:
    """Also one whose key holds an `=`."""
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return problem(403, "enough")

    chosen = Filter(labels={"a=b": "=c"}, labels_in={"tenant": ("x", "y")}, exclude=Exclusion(labels={"d!": "e"}))
    with pytest.raises(GatewayError):
        _gateway(answer).counts(chosen)
    assert asked[0].params.get_list("label") == [r"a\=b=\=c", "tenant=x", "tenant=y"]
    assert asked[0].params.get_list("not_label") == [r"d\!=e"]


def test_a_gateway_that_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that it names, a few times."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    busy = problem(429, "too many requests", **{"Retry-After": "3"})
    answers = [busy, problem(429, "x", **{"Retry-After": "soon"}), httpx.Response(200, json={"total": 0})]
    assert _gateway(lambda _: answers.pop(0)).counts(Filter()) == {"total": 0}
    assert slept == [3.0, 1.0]
    with pytest.raises(GatewayError, match="HTTP 429: too many requests"):
        _gateway(lambda _: busy).counts(Filter())
    assert len(slept) == 6


def test_the_token_is_a_header_and_no_proxy_leads_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No URL and no log has the token."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    for url, proxied in (("http://127.0.0.1:8080", 0), ("http://[::1]:8080", 0), (URL, 1)):
        with gateway._http(load_settings(gateway_url=url, gateway_token=SECRET)) as http:
            assert http.headers["Authorization"] == f"Bearer {SECRET}"
            assert len([each for each in http._mounts.values() if each is not None]) == proxied
    assert SECRET not in repr(load_settings(gateway_token=SECRET))


def test_counts_of_many_ids_are_added() -> None:
    """By status and by group; a partition that is missing once is missing."""
    ids = [f"{number:03}-{'x' * 100}" for number in range(150)]
    views = [view(each, deployment_id="v1" if n % 2 else None) for n, each in enumerate(ids)]
    found = _gateway(InvocationsApi(*views, missing=(2,))).counts(Filter(invocation_ids=tuple(ids)), "deployment_id")
    assert (found["total"], found["counts"], found["exact"]) == (150, {"RUNNING": 150}, False)
    assert found["missing_partitions"] == [2]
    groups = {group.get("value"): group["counts"]["RUNNING"] for group in found["groups"]}
    assert groups == {"v1": 75, None: 75}
    assert found["group_by"] == "deployment_id"
