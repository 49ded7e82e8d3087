"""From planes of code values to RGB and back, and drift correction."""
