"""One film, from a plan to a result under its name."""
