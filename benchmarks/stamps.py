"""The time that the benchmark's upstream writes into each token and the load generator reads out of it.

Both run on one machine, so `time.monotonic_ns()` is one clock. A stamp has a fixed width, and so has its chunk.
"""

MARK = b'"content":" @'
WIDTH = 19  # digits of nanoseconds; enough for 300 years of uptime
EMPTY = b"%019d" % 0
