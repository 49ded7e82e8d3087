"""Many films and pictures, one after the other."""
