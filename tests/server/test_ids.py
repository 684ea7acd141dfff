"""Request ids."""

from __future__ import annotations

import re
import time

from dragoman.governance.record import first_id
from dragoman.server.ids import new_id

# RFC 9562, section 5.7.
_VERSION_7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_ids_are_uuids_of_version_7_of_this_moment() -> None:
    before = time.time()
    made = [new_id() for _ in range(1000)]
    after = time.time()
    assert all(_VERSION_7.fullmatch(one) for one in made)
    assert len(set(made)) == len(made)
    assert all(first_id(before - 0.001) <= one < first_id(after + 0.002) for one in made)


def test_ids_sort_by_time() -> None:
    made = []
    for _ in range(200):
        made.append(new_id())
        # Two ids of the same quarter of a microsecond are in no order.
        until = time.time_ns() + 1000
        while time.time_ns() < until:
            pass
    assert made == sorted(made)
