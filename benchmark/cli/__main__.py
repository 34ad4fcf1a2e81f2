"""``python -m benchmark.cli`` is ``bench``."""

from benchmark.cli.main import main

main()
