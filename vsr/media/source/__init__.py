"""What there is to read: files, addresses, pipes, pictures, and what is in them."""
