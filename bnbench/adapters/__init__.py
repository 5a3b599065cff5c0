"""Foreign calling conventions, made to fit the boundary of bnbench."""
