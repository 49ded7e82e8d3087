"""Kinds of networks: each in a file, with all that differs by kind; `table` lists them."""
