"""From what MODEL names to an `nn.Module`."""
