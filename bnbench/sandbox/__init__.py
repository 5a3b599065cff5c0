"""Untrusted code in a process of its own: arrays in, arrays out, verdicts never."""
