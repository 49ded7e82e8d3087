"""What kinds of files, pixels, colours and encoders can say."""
