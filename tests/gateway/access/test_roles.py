"""Each route, by who asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.service.door import OPERATOR, VIEWER, Door

if TYPE_CHECKING:
    from pathlib import Path

READS = [
    "/api/v1/batches",
    "/api/v1/batches/b-1",
    "/api/v1/invocations?service=emails",
    "/api/v1/invocations/a%2Fb~c",
    "/api/v1/invocations/i-1?payload=false",
    "/api/v1/invocation-counts",
    "/api/v1/flows",
    "/api/v1/flows/f-1",
    "/api/v1/dead-letters",
    "/api/v1/me",
    "/api/v1/partitions",
    "/openapi.json",
    "/docs",
    "/whatever-comes",
]
SHOWS = [
    "/api/v1/invocations/i-1?payload=true",
    "/api/v1/invocations/i-1?payload=1",
    "/api/v1/invocations/i-1?payload=false&payload=YES",
    "/api/v1/dead-letters?values=true",
    "/api/v1/dead-letters/0/17?payload=on",
]
CHANGES = [
    "/api/v1/batches",
    "/api/v1/batch-controls",
    "/api/v1/invocations",
    "/api/v1/acts",
    "/api/v1/flow-cancels",
    "/api/v1/dead-letters/replay",
    "/assets/x",
    "/health/live",
    "/",
]
EVERY = [
    *(("GET", path) for path in [*READS, *SHOWS]),
    *(("HEAD", path) for path in READS),
    *(("POST", path) for path in CHANGES),
    *((method, "/api/v1/batches") for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")),
    ("GET", "/%61ssets/../api/v1/batches"),
    ("GET", "/assets%2F..%2Fapi"),
]


@pytest.mark.parametrize(("method", "path"), EVERY)
def test_a_protected_route_needs_a_good_token(tmp_path: Path, method: str, path: str) -> None:
    """None, a wrong one, an empty one, another scheme, a hash from the file: 401 with a challenge, nothing more."""
    door = Door(tmp_path)
    wrong = {"authorization": "Basic YW5uOng="}, {"authorization": "Bearer"}, {"authorization": OPERATOR}
    answers = [door.ask(method, path), *(door.ask(method, path, token=each) for each in ("wrong", "", VIEWER[:-1]))]
    answers += [door.ask(method, path, headers=each) for each in wrong]
    answers += [door.ask(method, path, token=door.file.read_text().split(":")[2].split("\n")[0])]
    answers += [door.ask(method, path, headers={"cookie": f"streams_session_8080=ann:{OPERATOR}.x.y"})]
    for answer in answers[:-1]:
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answers[-1].status_code == (401 if method in {"GET", "HEAD"} else 403)
    assert all(each.headers["content-type"] == "application/problem+json" for each in answers)


@pytest.mark.parametrize("name", ["token", "access_token", "TOKEN", "api_key", "authorization", "q", "service"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/api/v1/batches"), ("POST", "/api/v1/acts")])
def test_a_token_in_a_url_is_refused_whatever_the_parameter_is_called(
    tmp_path: Path, method: str, path: str, name: str
) -> None:
    """Also beside a good header, and on open paths: proxies and histories keep URLs."""
    door = Door(tmp_path)
    for token in (None, OPERATOR):
        answer = door.ask(method, f"{path}?{name}={VIEWER}", token=token)
        assert (answer.status_code, answer.json()["rule"]) == (401, "token_in_url")
        assert VIEWER not in answer.text
    assert door.ask(method, f"/api/v1/batches/{VIEWER}", token=OPERATOR).json()["rule"] == "token_in_url"


@pytest.mark.parametrize("path", READS)
def test_a_viewer_reads(tmp_path: Path, path: str) -> None:
    """The application hears who it is."""
    answer = Door(tmp_path).ask("GET", path, token=VIEWER)
    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["role"], answer.json()["open"]) == ("vic", "viewer", False)


@pytest.mark.parametrize(
    ("method", "path"),
    [*(("GET", each) for each in SHOWS), *(each for each in EVERY if each[0] not in {"GET", "HEAD"})],
)
def test_payloads_and_changes_need_an_operator(tmp_path: Path, method: str, path: str) -> None:
    """A viewer is told so; an operator gets through."""
    door = Door(tmp_path)
    refused = door.ask(method, path, token=VIEWER)
    assert (refused.status_code, refused.json()["rule"]) == (403, "role")
    passed = door.ask(method, path, token=OPERATOR, content=b"{}")
    assert (passed.status_code, passed.json()["name"], passed.json()["role"]) == (200, "ann", "operator")


@pytest.mark.parametrize("path", ["/", "/assets/page.js", "/health/live", "/health/ready", "/metrics", "/login.css"])
def test_what_holds_nothing_secret_is_open(tmp_path: Path, path: str) -> None:
    """Reading it needs no token."""
    door = Door(tmp_path)
    assert [door.ask(method, path).status_code for method in ("GET", "HEAD")] == [200, 200]


def test_metrics_need_their_token_where_one_is_set(tmp_path: Path) -> None:
    """It opens nothing else; a caller of the file may look, too."""
    scraper = "scrapers-own-long-token"
    door = Door(tmp_path, metrics_token=scraper)
    assert door.ask("GET", "/metrics").status_code == 401
    assert door.ask("GET", "/metrics", token="wrong").status_code == 401  # noqa: S106 - of a test
    assert [door.ask("GET", "/metrics", token=each).status_code for each in (scraper, VIEWER)] == [200, 200]
    assert door.ask("GET", "/api/v1/batches", token=scraper).status_code == 401
    nobody = Door(tmp_path, None, metrics_token=scraper)
    assert nobody.ask("GET", "/metrics").status_code == 401
    assert nobody.ask("GET", "/metrics", token=scraper).status_code == 200


def test_without_a_file_everybody_who_comes_is_an_operator(tmp_path: Path) -> None:
    """By the name `local`, and the application can say that nobody was asked."""
    answer = Door(tmp_path, None).ask("POST", "/api/v1/acts", content=b"{}")
    assert (answer.json()["name"], answer.json()["role"], answer.json()["open"]) == ("local", "operator", True)


def test_a_token_that_is_removed_opens_nothing_a_moment_later(tmp_path: Path) -> None:
    """And one that is added is known; one whose role has changed has its new one."""
    door = Door(tmp_path)
    assert door.ask("GET", "/api/v1/batches", token=VIEWER).status_code == 200
    ann, vic = door.file.read_text().split()
    door.write(ann.replace("operator", "viewer"))
    door.timer += 1.0
    assert door.ask("GET", "/api/v1/batches", token=VIEWER).status_code == 401
    assert door.ask("POST", "/api/v1/acts", token=OPERATOR).status_code == 403
    door.write(vic)
    door.timer += 1.0
    assert door.ask("GET", "/api/v1/batches", token=VIEWER).status_code == 200
    assert door.ask("GET", "/api/v1/batches", token=OPERATOR).status_code == 401
