"""From a trained kernel to the weights of a family that come nearest to it."""
