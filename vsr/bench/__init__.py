"""How fast a machine does each stage, and all of them together."""
