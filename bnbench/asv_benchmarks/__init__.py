"""The history of the project under asv: thin classes over :mod:`bnbench.timing`."""

from bnbench.policy import settle_process

# Before anything imports NumPy, and in the process that asv forks for every benchmark.
settle_process()
