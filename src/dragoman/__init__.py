"""Dragoman: one self-hosted gateway between every LLM protocol and every provider."""

__version__ = "0.1.0"
