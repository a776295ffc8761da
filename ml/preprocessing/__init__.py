"""Array operations before the network: resizing, log-mel frames, augmentation, packing of token sequences."""
