"""Framing only: HTTP values, server-sent events, newline-delimited JSON. No socket, no meaning."""
