"""Errors of the codec."""

from __future__ import annotations

from typing import Literal

Code = Literal["empty_value", "not_avro", "unknown_schema", "malformed", "not_a_command"]
"""The dead letter's `error-code`."""


class BadRecordError(Exception):
    """Bytes that are not a record of the protocol; they become a dead letter.

    `message` names the field and the rule, if known.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message
