"""Changes to encoded arrays before the network: augmentation of images, packing of token sequences."""
