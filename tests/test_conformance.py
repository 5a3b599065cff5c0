"""Everything discovered, through the door that third parties use."""

from bnbench.testing import parametrize


@parametrize()
def test_conformance(conformance):
    conformance()
