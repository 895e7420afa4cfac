"""Requests that pages of other sites may have caused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.service.door import HERE, OPERATOR, Door

if TYPE_CHECKING:
    from pathlib import Path

PUBLIC = "https://streams.example.com"
ACTS = "/api/v1/acts"


def _rule(door: Door, headers: dict[str, str], *, base: str = HERE, method: str = "POST", path: str = ACTS) -> str:
    """The rule that refuses the request; empty if it gets through."""
    answer = door.ask(method, path, token=OPERATOR, headers=headers, base=base)
    assert answer.status_code in {200, 403}, answer.text
    return "" if answer.status_code == 200 else str(answer.json()["rule"])


@pytest.mark.parametrize("lines", [None, ()])
@pytest.mark.parametrize("path", [ACTS, "/login", "/logout"])
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": ""},
        {"origin": "https://evil.example.com"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1"},
        {"origin": "http://127.0.0.1:8081"},
        {"origin": "https://127.0.0.1:8080"},
        {"origin": "http://127.0.0.1:8080.evil.example.com"},
        {"origin": "http://evil@127.0.0.1:8080"},
        {"origin": "https://evil.example.com", "sec-fetch-site": "same-origin"},
        {"origin": HERE, "sec-fetch-site": "cross-site"},
    ],
)
def test_what_another_site_asks_to_change_is_refused(
    tmp_path: Path, headers: dict[str, str], path: str, lines: tuple[str, ...] | None
) -> None:
    """With tokens or without; the login and the logout too."""
    answer = Door(tmp_path, lines).ask("POST", path, headers=headers)
    assert (answer.status_code, answer.json()["rule"]) == (403, "cross_site")


def test_our_own_page_and_programs_get_through(tmp_path: Path) -> None:
    """By each name of this machine, by the public URL, and without any such header."""
    door = Door(tmp_path, gateway_public_url=PUBLIC)
    for origin in (HERE, "http://localhost:8080", "http://[::1]:8080", PUBLIC):
        assert _rule(door, {"origin": origin}) == ""
        assert _rule(door, {"origin": origin, "sec-fetch-site": "same-origin"}) == ""
    assert _rule(door, {"sec-fetch-site": "same-origin"}) == ""
    assert _rule(door, {}) == ""


def test_a_page_that_came_by_a_name_of_the_settings_gets_through(tmp_path: Path) -> None:
    """To that very name: one of them is another site for the page of another."""
    door = Door(tmp_path, gateway_hosts="gateway,localhost:9090")
    for host in ("gateway:8080", "gateway:1234", "localhost:9090"):
        assert _rule(door, {"host": host, "origin": f"http://{host}"}) == ""
        assert _rule(door, {"host": host, "origin": f"https://{host}"}) == "cross_site"
        assert _rule(door, {"host": host, "origin": "http://gateway:4321"}) == "cross_site"
    assert _rule(door, {"host": "127.0.0.1:8080", "origin": "http://localhost:9090"}) == "cross_site"


def test_reading_is_not_asked_where_it_comes_from(tmp_path: Path) -> None:
    """Whoever follows a link to the page comes from another site."""
    door = Door(tmp_path)
    assert _rule(door, {"sec-fetch-site": "cross-site"}, method="GET", path="/") == ""


@pytest.mark.parametrize("path", [ACTS, "/logout"])
def test_a_request_with_the_cookie_must_tell_where_it_comes_from(tmp_path: Path, path: str) -> None:
    """One of the two headers is enough; a cookie that is not good counts like one that is."""
    door = Door(tmp_path)
    cookie = {"cookie": "other=1; streams_session_8080=ann:x"}
    assert door.ask("POST", path, headers=cookie).json()["rule"] == "cross_site"
    for told in ({"origin": HERE}, {"sec-fetch-site": "same-origin"}):
        assert door.ask("POST", path, headers=cookie | told).status_code == (401 if path == ACTS else 303)


@pytest.mark.parametrize(
    "host",
    ["evil.example.com", "127.0.0.1", "127.0.0.1:8081", "streams.example.com.evil.com", "localhost", "", "[::1]"],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/api/v1/batches"), ("POST", ACTS), ("GET", "/login")]
)
def test_a_foreign_host_is_refused(tmp_path: Path, method: str, path: str, host: str) -> None:
    """A page elsewhere may let its own name lead to this machine, and would then be of the same origin."""
    for lines in (None, ()):
        door = Door(tmp_path, lines, gateway_public_url=PUBLIC, gateway_hosts="gateway, other:9000")
        answer = door.ask(method, path, headers={"host": host})
        assert (answer.status_code, answer.json()["rule"]) == (403, "host")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8080",
        "localhost:8080",
        "LOCALHOST:8080",
        "[::1]:8080",
        "streams.example.com",
        "streams.example.com:443",
        "gateway",
        "gateway:1234",
        "other:9000",
    ],
)
def test_our_names_are_known(tmp_path: Path, host: str) -> None:
    """Those of the loopback with the port, the public URL's, and those of the settings, with a port or any."""
    door = Door(tmp_path, gateway_public_url=PUBLIC, gateway_hosts="gateway, other:9000")
    assert _rule(door, {"host": host}, method="GET", path="/api/v1/batches") == ""


def test_health_and_metrics_answer_to_any_name(tmp_path: Path) -> None:
    """Orchestrators ask by the addresses they have; nothing there is secret, and nothing can be changed."""
    door = Door(tmp_path, metrics_token="scrapers-own-long-token")  # noqa: S106 - of a test
    for path in ("/health/live", "/health/ready"):
        assert _rule(door, {"host": "10.1.2.3:8080"}, method="GET", path=path) == ""
    assert door.ask("GET", "/metrics", headers={"host": "10.1.2.3:8080"}).status_code == 401
    assert door.ask("POST", "/health/live", headers={"host": "10.1.2.3:8080"}).status_code == 403


def test_with_tls_of_its_own_the_origins_are_https(tmp_path: Path) -> None:
    """A page that came by plain HTTP is another's."""
    door = Door(tmp_path, gateway_tls_cert="x", gateway_tls_key="y", gateway_http="127.0.0.1:443")
    assert _rule(door, {"origin": "https://localhost", "host": "localhost"}) == ""
    assert _rule(door, {"origin": "http://localhost:443", "host": "localhost"}) == "cross_site"


def test_a_port_that_was_chosen_at_the_start_is_ours(tmp_path: Path) -> None:
    """With port 0 the server knows it."""
    door = Door(tmp_path, gateway_http="127.0.0.1:0")
    assert _rule(door, {"origin": "http://localhost:4321"}, base="http://localhost:4321") == ""
    assert _rule(door, {"origin": "http://localhost:4322"}, base="http://localhost:4321") == "cross_site"


def test_a_header_that_two_readers_could_differ_about_is_refused(tmp_path: Path) -> None:
    """Two hosts, two origins, two authorizations."""
    door = Door(tmp_path)
    for name, text in (("host", "127.0.0.1:8080"), ("origin", HERE), ("authorization", f"Bearer {OPERATOR}")):

        async def twice(client: object, name: str = name, text: str = text) -> object:
            return await client.get("/", headers=[(name, text), (name, text)])  # type: ignore[attr-defined]

        answer = door.talk(twice)
        assert (answer.status_code, answer.json()["detail"]) == (400, f"the header {name} is there twice")
