"""Measurements of the gateway beside a direct call, nginx, LiteLLM and Portkey.

``python -m benchmarks`` runs them; ``docs/performance.md`` says what each one means. One module per
measurement (``throughput``, ``latency``, ``translation``, ``streams``, ``startup``); the others are
what they stand on.
"""
