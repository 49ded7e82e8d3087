"""Who does the work of a server: processes, the queue, webhooks, and what is fetched."""
