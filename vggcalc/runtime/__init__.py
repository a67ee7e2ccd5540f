"""Everything that imports torch: building, tracing, counting again, fusing and timing modules.

The command line runs it in a process of its own; the library in the caller's.
"""
