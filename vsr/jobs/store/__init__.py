"""What of a job lies on the disk, and may be trusted after a crash."""
