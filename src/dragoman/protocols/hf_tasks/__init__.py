"""The task API of Hugging Face's providers below ``/hf/tasks``, as documented: its errors, and what it
says of money.

It has no ``PROTOCOL`` (yet): what is here, the gateway answers by itself.
"""
