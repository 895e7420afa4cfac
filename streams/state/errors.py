"""Errors of a store or a changelog."""

from __future__ import annotations


class StoreUnusableError(Exception):
    """The file cannot be opened, is damaged, of another version or of another partition: rebuild the table."""


class ChangelogError(Exception):
    """A changelog record that this engine cannot apply. No record may be skipped silently."""
