"""``python -m gsc_trio.cli`` does what ``gsc-trio`` does."""

from gsc_trio.cli import main

main()
