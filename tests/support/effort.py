"""How many examples a property test tries: all of them in `make test`, some in the quick loop."""

from __future__ import annotations

import os

SHARE = float(os.environ.get("STREAMS_TEST_EXAMPLES", "0.3"))


def examples(count: int) -> int:
    """The share of a number that `STREAMS_TEST_EXAMPLES` says: three in ten unless said."""
    return max(1, round(count * SHARE))
