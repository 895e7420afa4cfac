"""`python -m streams`, and the program `streams`."""

import gc


def main() -> None:
    """Load the command line and run it."""
    # Loaded modules stay to the end: a garbage collection of them would take a fifth of a short command's time.
    gc.disable()
    from streams.cli import main as run  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
