"""The kinds of sources: what each is, and how its frames are come by."""
