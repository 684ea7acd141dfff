"""The tables and their homes."""
