"""Wire protocols: one folder each, both directions side by side. ``base`` is the contract."""
