"""Teaches a network: damage to learn from, losses, data, and the loop around them."""
