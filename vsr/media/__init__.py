"""Files: what they can say, what is in them, reading and writing them."""
