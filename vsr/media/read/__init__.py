"""Frames out of files: decoding, deinterlacing, keyframes, damage."""
