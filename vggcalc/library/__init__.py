"""The public functions: everything that the command line does, with the same words, from Python.

They take names, paths, token lists, specifications and `nn.Module`s, and hand on what the other rooms
take. The command line calls these functions too, so there is one way to do each thing.
"""
