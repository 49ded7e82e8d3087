"""Films as work that can be killed and gone on with: store < plan < run < batch."""
