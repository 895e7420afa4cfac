"""`python -m streams`, and the program `streams`."""

import gc
import sys


def main() -> None:
    """Load the command line and run it."""
    # Loaded modules stay to the end: a garbage collection of them would take a fifth of a short command's time.
    gc.disable()
    try:
        from streams.cli import main as run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("streams"):
            raise
        sys.exit(f"error: streams needs {error.name}, which is not installed: install the extra streams[cli]")

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
