"""The demo: the whole service on this machine, in a story that checks itself."""

from streams.cli.demo.verb import demo

__all__ = ["demo"]
