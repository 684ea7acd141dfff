"""Who serves a protocol: base URLs, credentials, model lists, quirks."""
