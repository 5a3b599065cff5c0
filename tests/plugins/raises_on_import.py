"""A plugin that can't be imported."""

raise RuntimeError("no such luck")
