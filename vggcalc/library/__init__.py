"""The public functions: everything that the command line does, with the same words, from Python.

They take names, paths, lists of tokens, networks and `nn.Module`s. The command line calls these functions too, so there
is one way to do each thing.
"""
