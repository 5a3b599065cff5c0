"""Time, peak memory and error of every group norm."""

# Relative, since asv imports this folder from the working tree and bnbench from the commit that it measures.
from ._benchmarks import benchmarks

Speed, Memory, Error = benchmarks("group")
