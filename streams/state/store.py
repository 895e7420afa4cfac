"""One partition's table on disk: a SQLite file that also keeps its position in the changelog across restarts."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Final

from streams.codec import decode, encode, encode_row
from streams.model import Meta, Payload
from streams.state import kept_flows, lists
from streams.state.columns import ROWS, SELECT_ROW, row_of
from streams.state.deltas import Endings
from streams.state.errors import StoreOutdatedError, StoreUnusableError
from streams.state.keys import META_KEY, batch_key, flow_key, invocation_key, member_prefix, payload_key, slice_key
from streams.state.restore import Restore
from streams.state.schema import APPLICATION_ID, SCHEMA, TABLE_VERSION, TABLES
from streams.state.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_CACHE_KIB: Final = 16_384
_STATEMENTS: Final = 256
_WAL_KEPT: Final = 4 * 1024 * 1024
_BUSY_S: Final = 10.0
_DUMPED_AT_ONCE: Final = 2_000
_LONG_FRAMES: Final = 8_192
"""A write-ahead file of this many pages (4 KiB each) is long and should start over."""
_OF_THE_MACHINE: Final = frozenset(
    {
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
"""Errors at which a table is as good as it was: it is not made again for them."""
_UNREADABLE: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR_CORRUPTFS,
        sqlite3.SQLITE_IOERR_DATA,
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
    }
)
"""But for these, by which a disk has lost a part of it."""

_by_path: Final = threading.Lock()
"""Held while another thread has a file open: the last to close it removes the write-ahead file by its name."""


class Store:
    """A SQLite file in WAL mode. A power cut rolls back to an older commit and never damages it.

    Use it only from the thread that opened it; `wal_checkpoint` alone is for another. Nothing changes outside `begin`
    and `commit`.
    """

    meta: Meta | None
    """The partition's record; None when fresh."""
    changelog_position: int
    """Offset of the next changelog record to read; 0 when fresh."""
    saved_at: int
    """Wall-clock ms of the last commit, as its caller said; 0 when fresh."""
    malformed: set[str]
    """Keys of entries of members that `apply_changelog` has left out: key or record means nothing."""
    replayed: bool
    """True if `apply_changelog` had any record since the store was opened or emptied."""

    def __init__(self, db: sqlite3.Connection, path: Path, partition: int) -> None:
        self.db = db
        self.path = path
        self.partition = partition
        self.malformed = set()
        self.shared = Shared(db)
        self.replayed = False
        self._wal_moved = threading.Event()
        """Another thread has just moved a long write-ahead file, except for the newest turns."""
        self._read_state()

    @classmethod
    def open(cls, path: Path, partition: int) -> Store:
        """Open the file, or create it.

        Raises:
            StoreUnusableError: the file is damaged, of another version or of another partition.
            StoreOutdatedError: likewise, of another version.
            sqlite3.Error: anything else, such as a full disk, which says nothing of the file.
        """
        db: sqlite3.Connection | None = None
        try:
            db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, cached_statements=_STATEMENTS)
            _configure(db)
            _ensure_schema(db, path, partition)
            return cls(db, path, partition)
        except BaseException as error:
            if db is not None:
                db.close()
            if isinstance(error, sqlite3.Error) and _is_of_the_file(error, path):
                raise StoreUnusableError(f"{path}: {error}; rebuild it from the changelog") from error
            raise

    @property
    def in_transaction(self) -> bool:
        """True if a transaction is open."""
        return self.db.in_transaction

    def begin(self) -> None:
        """Open a transaction that writes; waits for the lock of another writer."""
        self.db.execute("BEGIN IMMEDIATE")

    def commit(self, changelog_position: int, saved_at: int) -> None:
        """Commit the transaction, with the changelog position that the table has now reached.

        Args:
            changelog_position: offset of the next changelog record.
            saved_at: wall clock, ms.
        """
        self.db.execute("UPDATE state SET changelog_position = ?, saved_at = ?", (changelog_position, saved_at))
        self.db.execute("COMMIT")
        self.changelog_position, self.saved_at = changelog_position, saved_at
        if self._wal_moved.is_set():
            self._wal_moved.clear()
            self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def rollback(self) -> None:
        """Return to the last commit; harmless outside a transaction."""
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")
        self._read_state()

    def wal_checkpoint(self, *, truncate: bool = False) -> None:
        """Move committed pages from the write-ahead file into the database; nothing happens if the file is gone.

        It uses a connection of its own: any thread may call it. The write-ahead file starts over only if a transaction
        begins when all of it has been moved, which rarely happens by chance in a busy store. So for a long file, a
        second pass moves what came during the first, and the store itself, after its next commit, moves the little
        that came during the second.

        Args:
            truncate: also empty the write-ahead file. That waits for the store's own thread: only when idle.
        """
        with _by_path:
            if not self.path.exists():
                return
            with closing(sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)) as db:
                checkpoint = f"PRAGMA wal_checkpoint({'TRUNCATE' if truncate else 'PASSIVE'})"
                _, frames, _ = db.execute(checkpoint).fetchone()
                if frames > _LONG_FRAMES:
                    db.execute(checkpoint).fetchone()
                    self._wal_moved.set()

    def close(self) -> None:
        """Close the file; uncommitted changes are rolled back."""
        self.db.close()

    def damaged(self) -> bool:
        """True if SQLite finds the file's structure broken; reads the whole file."""
        try:
            (found,) = self.db.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            return is_damage(error)
        return bool(found != "ok")

    def put_meta(self, meta: Meta, record: bytes) -> None:
        """Keep the partition's record; `record` is its changelog value."""
        self.db.execute("UPDATE state SET meta = ?", (record,))
        self.meta = meta

    def apply_changelog(self, records: Iterable[tuple[str, bytes | None, int]]) -> int:
        """Apply (key, value, offset) in order of offset, in an open transaction; returns their number.

        Applying the same records again, in order and to the end, changes nothing.

        Raises:
            ChangelogError: a record that has no place in the table.
            NewerEngineError: a record of a newer engine.
        """
        restore = Restore(self.db, self.malformed, self.shared)
        applied = restore.apply(records)
        self.replayed = self.replayed or applied > 0
        if restore.meta is not None:
            self.put_meta(*restore.meta)
        return applied

    def clear(self) -> None:
        """Empty the file, to rebuild the table from the changelog's start."""
        self.rollback()
        self.begin()
        for table in TABLES:
            self.db.execute(f"DELETE FROM {table}")  # noqa: S608 - the schema's own names
        self.malformed.clear()
        self.db.execute("UPDATE state SET meta = NULL, changelog_position = 0, saved_at = 0")
        self.db.execute("COMMIT")
        self._read_state()

    def dump(self) -> Iterator[tuple[str, bytes]]:
        """The whole table as changelog keys and values; a row that rests on a delta is given in full.

        Rows in order of seq, each followed by its payload, then batches and slices by id, flows, members, then `m/`.
        Two tables are equal exactly if their dumps are.
        """
        seq, endings = -1, Endings(self.db)
        page = f"{SELECT_ROW} {ROWS} WHERE r.seq > ? ORDER BY r.seq LIMIT ?"
        while columns := self.db.execute(page, (seq, _DUMPED_AT_ONCE)).fetchall():
            first, seq = seq, columns[-1][2]
            payloads = dict(
                self.db.execute("SELECT seq, payload FROM payloads WHERE seq > ? AND seq <= ?", (first, seq)).fetchall()
            )
            for row in (row_of(found, endings) for found in columns):
                yield invocation_key(row.invocation_id), encode_row(row)
                if row.seq in payloads:
                    yield payload_key(row.invocation_id), encode(Payload(payloads[row.seq]))
        for table, key in (("batches", batch_key), ("slices", slice_key)):
            for name, record in self.db.execute(f"SELECT id, record FROM {table} ORDER BY id").fetchall():  # noqa: S608
                yield key(name), record
        for children, flow_id, record in self.db.execute("SELECT children, id, record FROM flows ORDER BY 1, 2"):
            yield flow_key(children, flow_id), record
        for name, partition, seq, member in kept_flows.entries_of_all(self.db):
            yield f"{member_prefix(*name)}{partition}/{seq}", encode(member)
        (meta,) = self.db.execute("SELECT meta FROM state").fetchone()
        if meta is not None:
            yield META_KEY, meta

    def _read_state(self) -> None:
        self.shared.reload()
        position, saved_at, meta = self.db.execute("SELECT changelog_position, saved_at, meta FROM state").fetchone()
        self.changelog_position, self.saved_at = position, saved_at
        decoded = None if meta is None else decode(meta)
        if decoded is not None and not isinstance(decoded, Meta):
            raise StoreUnusableError("the table's own record cannot be read: rebuild the table from the changelog")
        self.meta = decoded


def move_away(path: Path, to: Path) -> None:
    """Rename a file that this thread has closed, and delete its write-ahead file, which is useless without it."""
    with _by_path:
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.rename(to)


def delete(path: Path) -> None:
    """Delete a file that this thread has closed, and its write-ahead file."""
    with _by_path:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """True if the error says that the file is broken, as opposed to a full disk or a lock."""
    return _code(error) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _is_of_the_file(error: sqlite3.Error, path: Path) -> bool:
    """True if this very file can't be used: damaged, unreadable, or another user's."""
    code = _code(error)
    if code & 0xFF not in _OF_THE_MACHINE or code in _UNREADABLE:
        return True
    return path.exists() and not os.access(path, os.R_OK | os.W_OK)


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0))


def _configure(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    db.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT}").fetchall()
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    db.execute("PRAGMA temp_store = MEMORY")
    lists.add_function(db)


def _ensure_schema(db: sqlite3.Connection, path: Path, partition: int) -> None:
    """Create the tables in an empty file; refuse any other file that is not this partition's."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if not version and not tables:
        db.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA:
            db.execute(statement)
        db.execute("INSERT INTO state VALUES (1, ?, 0, 0, NULL)", (partition,))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {TABLE_VERSION}")
        db.execute("COMMIT")
        return
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise StoreUnusableError(f"{path} is a database of another program: move it away")
    if version != TABLE_VERSION:
        raise StoreOutdatedError(f"{path} has table version {version}, this worker {TABLE_VERSION}: rebuild it")
    (found,) = db.execute("SELECT partition FROM state").fetchone()
    if found != partition:
        raise StoreUnusableError(f"{path} holds partition {found}, not {partition}: files were mixed up, rebuild it")
