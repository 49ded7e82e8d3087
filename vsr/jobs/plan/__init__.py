"""What will be done with a film, found out before it begins."""
