"""What pytest leaves alone: plugins and student files are read by the tests, some on purpose can't be imported."""

collect_ignore = ["bank", "plugins"]
