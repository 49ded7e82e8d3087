"""What happens to a picture between decoder and encoder."""
