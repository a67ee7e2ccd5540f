"""Generated command lines, files and moments for signals, and what must hold of every answer.

`python -m tests.fuzz --cases 10000 --seed 0` runs many; tests/test_fuzz.py runs a fixed few of them. A case depends on
its seed and number alone, so that one that fails can be run again: `--only NUMBER`.
"""
