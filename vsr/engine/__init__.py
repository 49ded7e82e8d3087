"""How a network runs on a device, and which engine does."""
