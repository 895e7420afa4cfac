"""The whole service on this machine, told as a story that checks itself."""

from streams.cli.demo.verb import demo

__all__ = ["demo"]
