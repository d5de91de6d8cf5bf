"""The flights of `examples/flights.py`: 2013 out of New York, read, modelled, flown, asked about and shown.

`data` reads the public files, `timeline` puts what happened in order, `models` has the four tables, `load` flies the
timeline through ORM sessions, `questions` asks the log, `screen` prints it all.
"""
