"""The implementations that come with bnbench, one file or folder each."""
