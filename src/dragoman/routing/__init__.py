"""Which channel answers: pure policy. Clock and randomness are handed in."""
