"""The login form, sessions, and the logout."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from streams.gateway.access.callers import Role
from streams.gateway.access.sessions import LASTS_S, Sessions
from streams.gateway.access.tokens import Tokens, digest_of, line_of
from support.service.door import HERE, OPERATOR, VIEWER, Door

if TYPE_CHECKING:
    from pathlib import Path

FORM = {"content-type": "application/x-www-form-urlencoded", "origin": HERE}
OURS = {"origin": HERE}


def _login(door: Door, secret: str, address: str = "192.0.2.1", **more: str) -> Any:
    return door.ask("POST", "/login", headers=FORM | more, content=f"token={secret}".encode(), address=address)


def _cookie(door: Door, secret: str = OPERATOR) -> dict[str, str]:
    """Log in; the header of later requests."""
    answer = _login(door, secret)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]}


def test_the_form_needs_nothing_of_others_and_no_script(tmp_path: Path) -> None:
    """Labelled, for password managers; its style is the gateway's own."""
    door = Door(tmp_path)
    answer = door.ask("GET", "/login")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert '<label for="token">' in answer.text
    assert "<script" not in answer.text
    assert "style=" not in answer.text
    assert re.findall(r'(?:href|src|action)="([^"]+)"', answer.text) == ["/login.css", "/login"]
    assert "http" not in door.ask("GET", "/login.css").text


def test_a_good_token_becomes_a_session(tmp_path: Path) -> None:
    """The cookie is for this browser's own requests to us only, holds no token, and opens what the token does."""
    door = Door(tmp_path)
    answer = _login(door, OPERATOR)
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == "streams_session_8080"
    assert set(rest.split("; ")[1:]) == {"Path=/", f"Max-Age={LASTS_S}", "HttpOnly", "SameSite=Strict"}
    assert OPERATOR not in answer.headers["set-cookie"]
    assert digest_of(OPERATOR).hex() not in answer.headers["set-cookie"]
    cookie = _cookie(door)
    read = door.ask("GET", "/api/v1/batches", headers=cookie)
    assert (read.status_code, read.json()["name"]) == (200, "ann")
    assert door.ask("POST", "/api/v1/acts", headers=cookie | OURS, content=b"{}").json()["name"] == "ann"
    assert door.ask("POST", "/api/v1/acts", headers=_cookie(door, VIEWER) | OURS).status_code == 403


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({"gateway_tls_cert": "x", "gateway_tls_key": "y"}, {"origin": "https://localhost:8080"}),
        (
            {"gateway_public_url": "https://streams.example.com"},
            {"host": "streams.example.com", "origin": "https://streams.example.com"},
        ),
    ],
)
def test_over_tls_the_cookie_is_bound_to_the_host(
    tmp_path: Path, settings: dict[str, Any], headers: dict[str, str]
) -> None:
    """By the gateway's own TLS or by a proxy's: no other host and no plain HTTP can set or see it."""
    door = Door(tmp_path, **settings)
    answer = _login(door, OPERATOR, **headers)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-streams=")
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    named = headers | {"cookie": cookie.partition(";")[0]}
    assert door.ask("GET", "/api/v1/batches", headers=named).status_code == 200


@pytest.mark.parametrize("secret", ["", "wrong", OPERATOR[:-1], digest_of(OPERATOR).hex(), "%00"])
def test_a_wrong_token_shows_the_form_again(tmp_path: Path, secret: str) -> None:
    """With a message, and without a cookie."""
    answer = _login(Door(tmp_path), secret)
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert "This token is not known." in answer.text


def test_ten_failures_a_minute_and_no_more(tmp_path: Path) -> None:
    """For each address; then even the good token is not looked at. A minute later it is."""
    door = Door(tmp_path)
    assert [_login(door, "wrong").status_code for _ in range(12)] == [401] * 10 + [429] * 2
    refused = _login(door, OPERATOR)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "61")
    assert _login(door, OPERATOR, address="192.0.2.2").status_code == 303
    door.timer += 60.0
    assert _login(door, OPERATOR).status_code == 303


def test_the_login_takes_a_small_form_only(tmp_path: Path) -> None:
    """JSON is what a script of another site could not send unseen, but the form is what there is."""
    door = Door(tmp_path)
    assert door.ask("POST", "/login", content=b"{}", headers=OURS).status_code == 415
    assert door.ask("POST", "/login", content=b"token=" + b"x" * 9_000, headers=FORM).status_code == 413


def test_a_logout_ends_the_session_and_not_those_of_other_browsers(tmp_path: Path) -> None:
    """The cookie opens nothing afterwards, whoever kept it."""
    door = Door(tmp_path)
    here, there = _cookie(door), _cookie(door)
    assert here != there
    answer = door.ask("POST", "/logout", headers=here | OURS)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert answer.headers["set-cookie"].startswith("streams_session_8080=; Path=/; Max-Age=0")
    assert door.ask("GET", "/api/v1/batches", headers=here).status_code == 401
    assert door.ask("GET", "/api/v1/batches", headers=there).status_code == 200
    assert door.ask("POST", "/logout", headers=here | OURS).status_code == 303


def test_a_session_ends_after_twelve_hours_or_with_its_token(tmp_path: Path) -> None:
    """Also when the token was only replaced by a new one of the same name; a changed role is that of the session."""
    door = Door(tmp_path)
    cookie = _cookie(door)
    door.now += LASTS_S
    assert door.ask("GET", "/api/v1/batches", headers=cookie).status_code == 200
    door.now += 1
    assert door.ask("GET", "/api/v1/batches", headers=cookie).status_code == 401
    cookie = _cookie(door)
    door.write(line_of("ann", Role.VIEWER, OPERATOR))
    door.timer += 1.0
    assert door.ask("GET", "/api/v1/batches", headers=cookie).json()["role"] == "viewer"
    door.write(line_of("ann", Role.OPERATOR, "another secret"))
    door.timer += 1.0
    assert door.ask("GET", "/api/v1/batches", headers=cookie).status_code == 401
    door.write(line_of("ann", Role.OPERATOR, OPERATOR))
    door.timer += 1.0
    assert door.ask("GET", "/api/v1/batches", headers=cookie).status_code == 200
    door.write()
    door.timer += 1.0
    assert door.ask("GET", "/api/v1/batches", headers=cookie).status_code == 401


def test_another_gateway_with_the_same_file_knows_the_session(tmp_path: Path) -> None:
    """Behind a balancer, and after a restart."""
    cookie = _cookie(Door(tmp_path))
    assert Door(tmp_path).ask("GET", "/api/v1/batches", headers=cookie).status_code == 200


def test_a_forged_cookie_is_none(tmp_path: Path) -> None:
    """Each character counts; one signed for a viewer is not an operator's."""
    door = Door(tmp_path)
    sessions = Sessions(Tokens(door.file), lambda: door.now)
    ann, vic = Tokens(door.file).named("ann"), Tokens(door.file).named("vic")
    assert ann is not None
    assert vic is not None
    good = sessions.begin(vic)
    assert sessions.of(good) is not None
    forged = [good.replace("vic:", "ann:"), good[:-1], good + "x", "", ":", "ann:", "ann", "nobody:x.y.z", good[4:]]
    forged += [good[:place] + chr(ord(good[place]) ^ 1) + good[place + 1 :] for place in range(len(good) - 1)]
    assert [each for each in forged if sessions.of(each) is not None] == []


def test_cookies_of_other_programs_on_this_host_do_not_hide_ours(tmp_path: Path) -> None:
    """Another port's program may set whatever it likes."""
    door = Door(tmp_path)
    ours = _cookie(door)["cookie"]
    odd = {"cookie": f'prefs={{"a":"b c"}}; =x; ;flag; {ours}; z="1'}
    assert door.ask("GET", "/api/v1/batches", headers=odd).status_code == 200


def test_a_header_wins_over_the_cookie(tmp_path: Path) -> None:
    """A wrong header is a wrong one, however good the cookie."""
    door = Door(tmp_path)
    cookie = _cookie(door)
    assert door.ask("GET", "/api/v1/batches", token="wrong", headers=cookie).status_code == 401  # noqa: S106 - of a test
    assert door.ask("GET", "/api/v1/batches", token=VIEWER, headers=cookie).json()["name"] == "vic"


def test_where_no_token_is_asked_for_the_form_leads_to_the_page(tmp_path: Path) -> None:
    """There is nothing to log in for."""
    door = Door(tmp_path, None)
    for answer in (door.ask("GET", "/login"), _login(door, "x")):
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "set-cookie" not in answer.headers
