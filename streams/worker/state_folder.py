"""A worker's identity: its id, and its exclusive state folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import uuid_utils
from filelock import FileLock, Timeout

from streams.clock import wall_clock
from streams.errors import StreamsError
from streams.state.errors import StoreUnusableError
from streams.state.store import Store, move_away

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger("streams.worker")


class StateFolder:
    """The folder with one SQLite file per partition, locked by one process at a time.

    Raises:
        StreamsError: the folder cannot be made or written, or another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / "lock")
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StreamsError(
                f"state folder {path} is in use by another worker: give each worker its own STREAMS_STATE_DIR",
            ) from None
        except OSError as error:
            raise StreamsError(
                f"state folder {path} cannot be written ({error.strerror}): set STREAMS_STATE_DIR"
            ) from error

    def worker_id(self, given: str | None) -> str:
        """The id given by the user, or else the one kept in the folder, which is made on first use."""
        if given is not None:
            return given
        file = self.path / "worker-id"
        try:
            kept = file.read_text(encoding="utf-8").strip() if file.exists() else ""
            if not kept:  # new, or left so by a full disk
                kept = str(uuid_utils.uuid7())
                file.write_text(f"{kept}\n", encoding="utf-8")
        except OSError as error:
            raise StreamsError(f"{file} cannot be written ({error.strerror}): set STREAMS_STATE_DIR") from error
        return kept

    def partition_file(self, partition: int) -> Path:
        """The SQLite file of a partition."""
        return self.path / f"partition-{partition}.sqlite3"

    def close(self) -> None:
        """Unlock the folder for another worker."""
        self._lock.release()


def open_store(file: Path, partition: int) -> Store:
    """The partition's store. An unusable file is renamed, and the table is rebuilt from the changelog."""
    try:
        return Store.open(file, partition)
    except StoreUnusableError as error:
        return replaced_store(file, partition, error)


def replaced_store(file: Path, partition: int, why: Exception) -> Store:
    """An empty store in place of an unusable file, which is renamed; nobody may have it open.

    Raises:
        StreamsError: the file cannot be renamed, or no new one made.
    """
    aside = file.with_suffix(f".unusable-{wall_clock()}")
    log.warning("local table unusable, it is rebuilt", partition=partition, error=str(why), put_aside=aside.name)
    try:
        move_away(file, aside)
        return Store.open(file, partition)
    except (OSError, StoreUnusableError) as again:
        raise StreamsError(f"{file} can be neither used nor replaced ({again}): set STREAMS_STATE_DIR") from why
