"""How a run tells of itself: to people, to programs, to a log."""
