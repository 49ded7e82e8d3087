"""Against flicker: motion, confidence, the temporal filter, cuts, grain, deflicker."""
