"""Frames into files: encoding, joining, muxing, verifying."""
