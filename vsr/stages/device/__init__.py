"""The device stage: batches, tiles, memory, reuse, alpha."""
