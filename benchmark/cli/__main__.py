"""``bench``, and ``python -m benchmark.cli``: interrupted while it still loads, it ends in one line like later."""

import sys


def main() -> None:
    """Entry point of the ``bench`` command."""
    try:
        from benchmark.children import end_with_parent

        end_with_parent()  # of a sweep
        from benchmark.cli.main import main as bench

        bench()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
