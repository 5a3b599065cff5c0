"""What pytest leaves alone: plugins are read by the tests, one of them on purpose can't be imported."""

collect_ignore = ["plugins"]
