"""What a network is taught by: terms of the loss, the features and the discriminator in them."""
