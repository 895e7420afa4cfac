"""The door before the real API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.model import Act, StartBatch
from support.service.api_world import ACTS, BATCHES, KILL, ApiWorld
from support.service.door import LINES, OPERATOR, VIEWER, Door
from support.service.event_reader import EventReader

if TYPE_CHECKING:
    from pathlib import Path

ANN = {"authorization": f"Bearer {OPERATOR}"}


def test_the_actor_of_a_command_is_the_name_of_the_token(tmp_path: Path) -> None:
    """A body that names one is refused, even the right one."""
    world = ApiWorld()
    door = Door(tmp_path, app=world.app)
    act: dict[str, Any] = {"invocation_id": "i-1", "action": "KILL"}

    async def story(client: Any) -> None:
        assert (await client.post(ACTS, headers=ANN, json=act)).status_code == 202
        for name in ("ann", "somebody"):
            refused = await client.post(ACTS, headers=ANN, json=act | {"actor": name})
            assert (refused.status_code, refused.json()["field"]) == (422, "actor")
            refused = await client.post(BATCHES, headers=ANN, json=KILL | {"actor": name})
            assert (refused.status_code, refused.json()["field"]) == (422, "actor")
        assert (await client.get("/api/v1/me", headers=ANN)).json()["name"] == "ann"

    world.run(story, door.access)
    [found] = world.commands()
    assert isinstance(found, Act)
    assert found.cause is not None
    assert found.cause.actor == "ann"


def test_a_viewer_sees_and_changes_nothing(tmp_path: Path) -> None:
    """Nothing reaches the log."""
    world = ApiWorld()
    door = Door(tmp_path, app=world.app)
    vic = {"authorization": f"Bearer {VIEWER}"}

    async def story(client: Any) -> None:
        assert (await client.get(BATCHES, headers=vic)).status_code == 200
        assert (await client.post(BATCHES, headers=vic, json=KILL)).status_code == 403
        assert (await client.get("/api/v1/me", headers=vic)).json()["role"] == "viewer"

    world.run(story, door.access)
    assert [each for each in world.commands() if isinstance(each, StartBatch)] == []


def test_a_real_stream_ends_with_its_token(tmp_path: Path) -> None:
    """As if it had come to its end; nothing of it runs on."""
    world = ApiWorld()
    door = Door(tmp_path, app=world.app)

    async def story(_: Any) -> None:
        async with (
            EventReader(door.access, "/api/v1/events", token=OPERATOR) as reader,
            EventReader(door.access, "/api/v1/events", token=VIEWER) as other,
        ):
            assert (reader.status, other.status) == (200, 200)
            door.write(LINES[1])
            door.timer += 1.0
            door.access.look()
            assert await reader.event() is None
            assert not other._running.done()

    world.run(story, door.access)
