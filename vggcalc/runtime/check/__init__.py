"""Counting again with torch and fvcore, and checking receptive fields by gradients."""
