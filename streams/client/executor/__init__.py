"""Runs handlers for signals, and reports what becomes of them.

`executor` talks to Kafka; `dispatcher` says what a signal does; `runner` has the threads and the event loop;
`watermark` knows how far a partition is dealt with; `ahead` reads on where signals wait.
"""

from streams.client.executor.context import Context, HandlerCancelledError, Retry, Suspend
from streams.client.executor.executor import Executor

__all__ = ["Context", "Executor", "HandlerCancelledError", "Retry", "Suspend"]
