"""Timing modules in alternation on a device."""
