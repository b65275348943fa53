"""Damaged and hostile files, for every format that minigrad reads.

``python -m tests.fuzz 20000`` changes valid files 20,000 times each and prints what came of it;
`test_fuzz.py` does 2,000. A reader must return what is right, or raise a MinigradError.
"""
