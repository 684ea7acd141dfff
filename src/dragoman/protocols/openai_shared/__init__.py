"""What the OpenAI protocols (chat, completions, responses) have in common; no protocol by itself."""
