"""What of a server lies on the disk: jobs, their events, uploads, and the folders of sources."""
