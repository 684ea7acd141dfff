"""Where the configuration comes from, and what it may say.

Read in this order: ``problems``, ``checks`` (one value), ``schema`` (the fields), ``channels`` (an
entry becomes a routable channel), ``load`` (a file), ``export`` (back into one), ``stored`` (the
database), ``environment`` (variables), ``assemble`` (all of them together).
"""
