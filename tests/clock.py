"""Time in tests: nothing is measured by a clock on the wall, and whoever waits, waits long."""

HANG = 600  # seconds after which a test that still waits has failed
