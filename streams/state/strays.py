"""Entries of members that nobody could ever answer for: they are removed with the first turn after a restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.state import kept_flows

if TYPE_CHECKING:
    from streams.state.overlay import Changelog
    from streams.state.store import Store


class Strays:
    """Keys of malformed entries, and of those whose flow has vanished.

    No worker writes such ones. What a restore has found is removed from the table and from the changelog.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._left = {*store.malformed, *kept_flows.vanished(store.db)} if store.replayed else set[str]()
        self._removing: set[str] = set()
        self.removed = 0
        """Number of entries that the last turn has removed."""

    def begin(self) -> None:
        """Remove them from the table before the turn's commands, which may add such an entry again."""
        self.removed = 0
        if self._left:
            kept_flows.remove_vanished(self._store.db)

    def flush(self) -> Changelog:
        """Their tombstones."""
        self.removed = len(self._left)
        self._removing |= self._left
        self._left = set()
        return [(key, None) for key in sorted(self._removing)] if self.removed else []

    def commit(self) -> None:
        """They are gone."""
        self._store.malformed -= self._removing
        self._removing = set()

    def rollback(self) -> None:
        """They are there again."""
        self._left, self._removing = self._left | self._removing, set()
