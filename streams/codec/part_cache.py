"""A cache of decoded parts: byte ranges that many records share are decoded once.

An Avro value determines where its bytes end, so data that begins with the bytes of a known part holds that part.
"""

from __future__ import annotations

from typing import Any, Final

HEAD: Final = 40
SHORT_HEAD: Final = 12
"""Number of leading bytes by which parts are looked up; the second one is for shorter parts."""
_LONGEST: Final = 256
_MANY_HEADS: Final = 1_024
_MANY: Final = 8


class Known(dict[bytes, list[tuple[Any, ...]]]):
    """Parts by their first bytes: for each part all its bytes, then the decoded values.

    If too many parts begin alike, as when each has its own id, they are given up: their list is empty.
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
