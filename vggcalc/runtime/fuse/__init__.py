"""Composing linear layers into one convolution."""
