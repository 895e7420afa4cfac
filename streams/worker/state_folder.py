"""A worker's identity: its id, and its exclusive state folder."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
import uuid_utils
from filelock import FileLock, Timeout

from streams.clock import wall_clock
from streams.errors import StreamsError
from streams.state.errors import StoreOutdatedError, StoreUnusableError
from streams.state.store import Store, delete, move_away

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = structlog.get_logger("streams.worker")

_ENDS_WITHIN_S: Final = 5.0
"""Longest wait for a process whose supervisor is gone, seconds: it ends by itself."""
_LEFT_WITHIN_S: Final = 1.0
"""Longest wait for a partition's file that another process of this worker has just lost, seconds."""
_NOT_AGAIN_S: Final = 10.0
"""Time for which there is no such wait after one that was in vain, seconds."""
_LOOK_S: Final = 0.01


class PartitionFile(NamedTuple):
    """A partition's SQLite file, in use by this process alone until it calls `leave`, with the file closed."""

    path: Path
    leave: Callable[[], None]


class StateFolder:
    """The folder with one SQLite file per partition, locked by one worker at a time.

    A worker of several processes has it locked by their supervisor. Each process locks the files of its partitions: a
    partition that moves between them takes its file along.

    Args:
        path: the folder.
        process: the number of one of several processes; None: it is the only one, or their supervisor.

    Raises:
        StreamsError: the folder cannot be made or written, or another worker holds it.
    """

    def __init__(self, path: Path, process: int | None = None) -> None:
        self.path = path
        self._process = process
        self._in_vain_at = float("-inf")
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / ("lock" if process is None else f"process-{process}.lock"))
            self._lock.acquire(timeout=0)
            if process is None:
                self._clear()
        except Timeout:
            self._lock.release()
            raise StreamsError(
                f"state folder {path} is in use by another worker: give each worker its own STREAMS_STATE_DIR",
            ) from None
        except OSError as error:
            raise self._unwritable(error) from error

    def _clear(self) -> None:
        """Wait for processes that have lost their supervisor, and remove what is of no use without them."""
        for left in self.path.glob("process-*.lock"):
            with FileLock(left).acquire(timeout=_ENDS_WITHIN_S, poll_interval=_LOOK_S):
                left.unlink()
        for left in self.path.glob("partition-*.of-*"):
            left.unlink()

    def _unwritable(self, error: OSError) -> StreamsError:
        return StreamsError(f"state folder {self.path} cannot be written ({error.strerror}): set STREAMS_STATE_DIR")

    def worker_id(self, given: str | None) -> str:
        """The id given in the settings, or else the one kept in the folder, which is made on first use.

        One of several processes adds its number to the one that is kept.
        """
        if given is not None:
            return given
        kept = self._kept_id()
        return kept if self._process is None else f"{kept}-{self._process}"

    def _kept_id(self) -> str:
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

    def take(self, partition: int) -> PartitionFile:
        """The partition's file, for this process alone.

        If the process that has lost the partition does not leave the file, because it stands still, this one works with
        a file of its own, which goes when the partition does.

        Raises:
            StreamsError: the folder cannot be written.
        """
        if self._process is None:
            return PartitionFile(self.partition_file(partition), lambda: None)
        lock = FileLock(self.path / f"partition-{partition}.lock")
        # A process that stands still leaves none of its files: only the first one is waited for.
        waits = time.monotonic() - self._in_vain_at > _NOT_AGAIN_S
        try:
            lock.acquire(timeout=_LEFT_WITHIN_S if waits else 0, poll_interval=_LOOK_S)
        except Timeout:
            self._in_vain_at = time.monotonic()
            own = self.path / f"partition-{partition}.of-{self._process}.sqlite3"
            log.warning(
                "another process has the table's file open; it is made again", partition=partition, file=own.name
            )
            return PartitionFile(own, lambda: delete(own))
        except OSError as error:
            raise self._unwritable(error) from error
        return PartitionFile(self.partition_file(partition), lock.release)

    def close(self) -> None:
        """Unlock what this process has locked."""
        self._lock.release()


def open_store(file: Path, partition: int) -> Store:
    """The partition's store. An unusable file is renamed, and the table is rebuilt from the changelog.

    One of another version is deleted: no version will read it again, and after an upgrade there are as many as tables.

    Raises:
        sqlite3.Error: the disk is full, or the like; the file stays as it is.
        StreamsError: the file cannot be renamed or deleted, or no new one made.
    """
    try:
        return Store.open(file, partition)
    except StoreOutdatedError as error:
        log.warning("local table of another version, it is rebuilt", partition=partition, error=str(error))
        try:
            delete(file)
        except OSError as again:
            raise StreamsError(f"{file} can be neither used nor deleted ({again}): set STREAMS_STATE_DIR") from error
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
    except (OSError, sqlite3.Error, StoreUnusableError) as again:
        raise StreamsError(f"{file} can be neither used nor replaced ({again}): set STREAMS_STATE_DIR") from why
