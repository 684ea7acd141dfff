"""A scripted upstream that speaks five vendors' protocols as strictly as the vendors do.

``script`` says what happens, free of any protocol; each protocol's module judges requests
(``read``) and writes answers (``whole``, ``stream``, ``error``); ``tests.support.upstream`` serves
them over HTTP.
"""
