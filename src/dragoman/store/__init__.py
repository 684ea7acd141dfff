"""The tables and their homes.

Read in this order: ``store`` (the interface), ``tables``, ``schema`` (fresh, current or to be
upgraded), ``sealing`` (secrets at rest), ``sqlite`` (the embedded home), ``request_log`` (in it, too).
Beside the tables, in files of its own: ``journal``.
"""
