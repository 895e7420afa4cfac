"""The executor: runs handlers for signals, and reports their outcomes.

`executor` talks to Kafka; `dispatcher` decides what a signal does; `runner` has the threads and the event loop;
`watermark` knows which signals of a partition are done; `ahead` reads on where signals wait.
"""

from streams.client.executor.context import Context, HandlerCancelledError, Retry, Suspend
from streams.client.executor.executor import Executor

__all__ = ["Context", "Executor", "HandlerCancelledError", "Retry", "Suspend"]
