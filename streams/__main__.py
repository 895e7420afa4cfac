"""`python -m streams`, and the program `streams`."""

import gc


def main() -> None:
    """Load the command line and run it."""
    # What is loaded stays to the end: looking for garbage in it would take a fifth of a short command's time.
    gc.disable()
    from streams.cli import main as run  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
