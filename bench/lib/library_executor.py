"""The same as `bench.lib.answer` by the client library: what runs elsewhere, or is suspended, is cancelled at once.

python -m bench.lib.library_executor BOOTSTRAP PREFIX
"""

from __future__ import annotations

import sys

from bench.lib import workload
from streams.client import Executor
from streams.config import Settings


def main() -> None:
    """Answer until SIGTERM."""
    bootstrap, prefix = sys.argv[1:]
    settings = Settings(_env_file=None, bootstrap_servers=bootstrap, topic_prefix=prefix)
    Executor(settings, services=[workload.DOOMED], grace=1.0).run()


if __name__ == "__main__":
    main()
