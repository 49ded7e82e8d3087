"""The kinds of results: what each is written as, how it is completed and gets its name."""
