"""Cancel or kill a large, filtered set of invocations with one command."""

__version__ = "0.1.0"
