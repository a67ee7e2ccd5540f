"""Conditions on figures that fail a build, and what changed since an earlier report."""
