"""Bodies that nobody would send on purpose."""

from __future__ import annotations

from hypothesis import strategies as st

from dragoman.config.schema import CHANNEL, SETTINGS, TOKEN
from dragoman.config.users import CREDIT, TRIAL, USER

_WORDS = ["***", "openai", "custom", "", "2027-01-31", "https://a.example", "\x00", "\u2028", "1"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(_WORDS),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
_NAMES = sorted(
    {*CHANNEL, *TOKEN, *SETTINGS, *USER, *CREDIT, *TRIAL, "model", "credential", "unknown"}
)
BODY = st.dictionaries(st.sampled_from(_NAMES), JSON, max_size=6) | JSON
"""Objects with known names and values of any kind, and what is no object at all."""
