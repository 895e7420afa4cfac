"""Errors of a store or a changelog."""

from __future__ import annotations


class StoreUnusableError(Exception):
    """The file is damaged, of another version, of another partition or another program's: rebuild the table."""


class StoreOutdatedError(StoreUnusableError):
    """The file is of another version of the tables."""


class ChangelogError(Exception):
    """A changelog record that this engine cannot apply. No record may be skipped silently."""


class NewerEngineError(Exception):
    """The table was written by a newer engine: this worker would misread it and must be upgraded."""

    def __init__(self, version: int, own: int) -> None:
        super().__init__(
            f"the table was written by engine version {version}, this worker is {own}: upgrade this worker"
        )
