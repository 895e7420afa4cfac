"""What was read before and need not be read again: parts of records that are the same in many of them.

Avro's encoding of a value ends where it says, so bytes that begin with those of a known part hold that part.
"""

from __future__ import annotations

from typing import Any, Final

HEAD: Final = 40
SHORT_HEAD: Final = 12
"""Bytes by which parts are looked up, and those that are shorter."""
_LONGEST: Final = 256
_MANY_HEADS: Final = 1_024
_MANY: Final = 8


class Known(dict[bytes, list[tuple[Any, ...]]]):
    """Parts by their first bytes: of each all its bytes, then the values that they hold.

    Where too many parts begin alike, as with an id of its own in each, they are given up and the list is empty.
    """

    def remember(self, part: bytes, values: tuple[Any, ...]) -> None:
        """Keep a part, unless it is long."""
        if len(part) > _LONGEST:
            return
        head = part[: HEAD if len(part) >= HEAD else SHORT_HEAD]
        found = self.get(head)
        if found is None:
            if len(self) >= _MANY_HEADS:
                self.clear()
            self[head] = [(part, *values)]
        elif 0 < len(found) < _MANY:
            found.append((part, *values))
        else:
            found.clear()
