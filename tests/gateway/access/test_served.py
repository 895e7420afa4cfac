"""The door behind uvicorn: TLS, a real client, and no secret in what is logged."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from streams import logs
from streams.config import Settings
from streams.gateway.access.middleware import Access
from streams.gateway.access.start_rules import server_options, tokens_of
from support.service.certificates import Authority
from support.service.door import LINES, OPERATOR, VIEWER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.long

WITHIN_S = 5.0
"""Time in which a removed line must have ended its streams."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a gateway with tokens and TLS; the authority of its certificate is beside it."""
    tokens = tmp_path / "tokens"
    tokens.write_text("\n".join(LINES))
    tokens.chmod(0o600)
    cert, key = Authority(tmp_path).issue("gateway")
    return Settings(
        gateway_http="127.0.0.1:0",
        gateway_tokens_file=tokens,
        gateway_tls_cert=cert,
        gateway_tls_key=key,
        metrics_token="scrapers-own-long-token",  # noqa: S106 - of a test
    )


def _application() -> FastAPI:
    app = FastAPI()

    async def ticks() -> AsyncIterator[str]:
        while True:
            yield ": tick\n\n"
            await asyncio.sleep(0.01)

    @app.get("/api/v1/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(ticks(), media_type="text/event-stream")

    @app.get("/api/v1/fails")
    async def fails() -> None:
        raise ValueError("a mistake of ours")

    @app.post("/api/v1/acts")
    async def acts(body: dict[str, Any]) -> dict[str, Any]:
        return body

    return app


@asynccontextmanager
async def _served(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway that serves; both have ended afterwards."""
    app = Access(_application(), settings, tokens_of(settings))
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="on", **server_options(settings)))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it in no other way
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    trusts = ssl.create_default_context(cafile=str(settings.gateway_tls_cert.parent / "ca.pem"))  # type: ignore[union-attr]
    try:
        async with httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=trusts, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        await serving


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_it_serves_over_tls_of_today_only(settings: Settings) -> None:
    """By the certificate that the settings name; neither plain HTTP nor an old version gets an answer."""

    async def story() -> None:
        async with _served(settings) as client:
            answer = await client.get("/openapi.json", headers=_bearer(VIEWER))
            assert answer.status_code == 200
            assert "strict-transport-security" in answer.headers
            assert "server" not in answer.headers
            port = client.base_url.port
            async with httpx.AsyncClient(trust_env=False) as plain:
                with pytest.raises(httpx.RemoteProtocolError):
                    await plain.get(f"http://localhost:{port}/")
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
            old.set_ciphers("ALL:@SECLEVEL=0")
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=old)
            writer.close()
            with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
                old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await asyncio.open_connection("127.0.0.1", port, ssl=old)

    asyncio.run(story())


def test_a_removed_line_ends_a_stream_within_five_seconds(settings: Settings) -> None:
    """The client sees a whole answer that is over; when it comes back it is refused. The other's goes on."""

    async def lines(client: httpx.AsyncClient, token: str, begun: asyncio.Event) -> int:
        async with client.stream("GET", "/api/v1/events", headers=_bearer(token)) as answer:
            async for _ in answer.aiter_lines():
                begun.set()
            return answer.status_code

    async def story() -> None:
        async with _served(settings) as client:
            begun = [asyncio.Event(), asyncio.Event()]
            ann, vic = (
                asyncio.create_task(lines(client, token, each))
                for token, each in zip((OPERATOR, VIEWER), begun, strict=True)
            )
            for each in begun:
                await each.wait()
            removed = time.monotonic()
            assert settings.gateway_tokens_file is not None
            settings.gateway_tokens_file.write_text(LINES[1])
            assert await asyncio.wait_for(ann, WITHIN_S) == 200
            assert time.monotonic() - removed < WITHIN_S
            assert (await client.get("/api/v1/events", headers=_bearer(OPERATOR))).status_code == 401
            assert not vic.done()
            settings.gateway_tokens_file.write_text("")
            assert await asyncio.wait_for(vic, WITHIN_S) == 200

    asyncio.run(story())


def test_no_secret_is_in_any_log(
    settings: Settings, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the level `debug`, of all that can happen to a request: good, refused, limited, failed, logged in and out."""
    secrets = [OPERATOR, VIEWER, "a-guess", "scrapers-own-long-token", "another-guess"]

    async def story() -> list[int]:
        async with _served(settings) as client:
            answers = [await client.get("/docs", headers=_bearer(each)) for each in secrets]
            answers += [await client.get(f"/api/v1/batches?token={each}") for each in secrets]
            answers += [await client.get(f"/api/v1/{each}/x?q={each}", headers=_bearer(VIEWER)) for each in secrets]
            answers += [await client.get("/metrics", headers=_bearer(each)) for each in secrets]
            answers += [await client.post("/api/v1/acts", headers=_bearer(OPERATOR), json={"a": 1})]
            for each in secrets:
                answers.append(await client.post("/login", data={"token": each}))
                secrets.append(client.cookies.get("__Host-streams") or each)
                answers.append(await client.post("/logout", headers={"origin": str(client.base_url).rstrip("/")}))
                if len(answers) > 40:
                    break
            once = _bearer(OPERATOR) | {"connection": "close"}
            with pytest.raises(httpx.HTTPStatusError):
                (await client.get("/api/v1/fails", headers=once)).raise_for_status()
            assert settings.gateway_tokens_file is not None
            settings.gateway_tokens_file.write_text(f"{LINES[1]}\n{OPERATOR}")
            await asyncio.sleep(0)
            while "last good one" not in (said := capfd.readouterr().err):
                told.append(said)
                await client.get("/health/live")
            told.append(said)
            return [each.status_code for each in answers]

    told: list[str] = []
    for client in ("httpx", "httpcore"):  # of the test, not of the gateway
        monkeypatch.setattr(logging.getLogger(client), "level", logging.WARNING)
    logs.configure(settings.model_copy(update={"log_level": "debug", "log_format": "json"}))
    statuses = asyncio.run(story())
    written = "".join([*told, *capfd.readouterr()])
    assert {200, 303, 401} <= set(statuses)
    assert "a login failed" in written
    assert "a mistake of ours" in written
    assert [each for each in secrets if each in written] == []
