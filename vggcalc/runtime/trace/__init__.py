"""Tracing an nn.Module into a network."""
