"""The nouns that every other room speaks.

Read in this order: ``signature``, ``parts``, ``request``, ``response``, ``events``, ``usage``,
``notes``, ``errors``; then the two helpers ``collect`` (events ⇄ response) and ``serialize``
(interleaved parts → one part after another).
"""
