"""Tables of wrong calls; `tests.test_bad_input` makes them.

A row is a call (a line of Python, or a command line that begins with ``minigrad``), the error that
it raises (``A|B``: one of them; ``exit 2`` for a command), and a regular expression of what the
message must say. Every file has its rows by topic in ``TABLE``, and in ``world()`` the names that
its calls use.
"""
