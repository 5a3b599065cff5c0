"""``python -m bnbench``: the same as the console script."""

from bnbench.cli import main

main()
