"""Learning from actual usage how one model counts tokens.

An estimate knows what a request is made of (``Features``), not what a model's vocabulary makes of it,
nor what its provider adds: a template around each message, instructions about tools. Each answer tells
the true sum. So for every model the difference between truth and estimate is explained by the features:
a running least-squares fit, drawn to "no difference" by a ridge, so that the first few answers teach a
common factor and a constant, and later ones what each script or tool costs.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from dragoman.governance.tokens import GROUPS, Groups

MOST_MODELS = 1000

_MESSAGE = 4.0
_SIZE = len(GROUPS) + 5  # the groups, tools' text, tools, messages, one, and all together
_RIDGE = (*(0.15,) * len(GROUPS), 1.0, 2e-5, 2e-5, 5e-6, 0.01)
"""How strongly a weight is held at zero; those of mere numbers are small against the sizes of requests,
by which answers are weighted. All together is held least: it is learned first."""
_CONSTANT = 30.0
"""An error of so many tokens weighs as much in a small request as its own size does in a large one."""
_EARLY = (1, 2, 4, 8, 12)
_EVERY = 16
_FADE = 0.97
"""What is left of old answers at each fit, so that a model may change under its name."""
_MOST_FACTOR = 8.0
_MOST_CONSTANT = 4000.0
"""A figure beyond the estimate times the one plus the other is no truth."""
_LEARNED = 50
_WATCH_EVERY = 32
_MOST_NAME = 300
_MOST_WEIGHT = 10_000.0


class Features(msgspec.Struct, frozen=True):
    """What a request is made of: tokens of its texts by group, those of its tools' names, descriptions
    and schemas among them (``tool_text``), and of its files, all as estimated; how many messages and
    tools there are."""

    texts: Groups
    tool_text: float = 0.0
    tools: int = 0
    messages: int = 0
    files: float = 0.0

    @property
    def estimate(self) -> float:
        """Tokens, if nothing is known of the model."""
        return sum(self.texts) + self.files + _MESSAGE * (self.messages + self.tools + 1)


class Learned(msgspec.Struct, kw_only=True):
    """What is known of one model, to be kept: ``weights`` as they were fitted to ``seen`` answers."""

    model: str
    seen: int
    error: float
    weights: list[float]


class _Model:
    """The fit of one model: the normal equations (upper triangle, row by row) and their solution."""

    __slots__ = ("error", "matrix", "passed", "seen", "vector", "weights")

    def __init__(self) -> None:
        self.seen = 0
        self.passed = 0
        self.error = 0.5
        self.matrix = [[0.0] * _SIZE for _ in range(_SIZE)]
        self.vector = [0.0] * _SIZE
        self.weights = [0.0] * _SIZE


class Calibration:
    """What has been learned of up to ``most`` models; the one not seen for longest gives way.
    ``learned`` counts the answers that were believed since the start."""

    def __init__(self, most: int = MOST_MODELS) -> None:
        self.learned = 0
        self._most = most
        self._models: OrderedDict[str, _Model] = OrderedDict()

    def __len__(self) -> int:
        return len(self._models)

    def wants(self, model: str) -> bool:
        """Whether another answer of ``model`` would teach much: the first fifty, then now and then."""
        known = self._models.get(model)
        if known is None or known.seen < _LEARNED:
            return True
        known.passed += 1
        return known.passed % _WATCH_EVERY == 0

    def observe(self, model: str, features: Features, actual: int) -> bool:
        """Learn that ``model`` read ``actual`` tokens; False if that is not to be believed, or there are
        files, which vary too much."""
        estimate = features.estimate
        if features.files or len(model) > _MOST_NAME:
            return False
        if not estimate / _MOST_FACTOR <= actual <= _ceiling(estimate):
            return False
        known = self._models.get(model)
        if known is None:
            known = self._models[model] = _Model()
            if len(self._models) > self._most:
                self._models.popitem(last=False)
        else:
            self._models.move_to_end(model)
        _learn(known, _present(features), actual - estimate, estimate + _CONSTANT)
        self.learned += 1
        return True

    def count(self, model: str, features: Features) -> int:
        """Input tokens of a request, as ``model`` would count them; at least 1."""
        estimate = features.estimate
        known = self._models.get(model)
        if known is None:
            return max(1, round(estimate))
        more = sum(known.weights[i] * value for i, value in _present(features))
        bounded = min(max(estimate + more, estimate / _MOST_FACTOR), _ceiling(estimate))
        return max(1, round(bounded))

    def dump(self, most: int = MOST_MODELS) -> list[Learned]:
        """What is worth keeping, the latest ``most`` models, oldest first: 10 ms for a thousand. May be
        called on a thread while another learns."""
        latest = list(self._models.items())[-most:]
        return [
            Learned(
                model=name,
                seen=model.seen,
                error=round(model.error, 6),
                weights=[round(weight, 9) for weight in model.weights],
            )
            for name, model in latest
        ]

    def load(self, kept: Sequence[Learned]) -> int:
        """Take up what ``dump`` gave, in place of what is known of those models; gives how many were
        in order. Damaged ones are left out."""
        taken = 0
        for one in kept[-self._most :]:
            if not _is_sane(one):
                continue
            model = _Model()
            model.seen, model.error = min(one.seen, _LEARNED), min(max(one.error, 0.01), 1.0)
            model.weights = list(one.weights)
            for i, ridge in enumerate(_RIDGE):
                # As firmly as if a few answers had told so; new ones overrule it soon.
                model.matrix[i][i] = firmness = ridge * model.seen
                model.vector[i] = firmness * one.weights[i]
            self._models[one.model] = model
            self._models.move_to_end(one.model)
            taken += 1
        while len(self._models) > self._most:
            self._models.popitem(last=False)
        return taken


def _ceiling(estimate: float) -> float:
    return _MOST_FACTOR * estimate + _MOST_CONSTANT


def _present(features: Features) -> list[tuple[int, float]]:
    """(place, value) of every feature that is not zero."""
    texts = features.texts
    found = [(i, value) for i, value in enumerate(texts) if value]
    place = len(texts)
    if features.tools:
        found.append((place, features.tool_text))
        found.append((place + 1, float(features.tools)))
    found.append((place + 2, float(features.messages)))
    found.append((place + 3, 1.0))
    found.append((place + 4, sum(texts)))
    return found


def _learn(
    model: _Model, present: list[tuple[int, float]], difference: float, scale: float
) -> None:
    """Add one answer to the fit. An answer that is far off counts less, the more so the better the fit
    has been (Huber)."""
    weights = model.weights
    off = difference
    for i, value in present:
        off -= weights[i] * value
    off = abs(off) / scale
    error = model.error
    trust = min(1.0, 3.0 * error / off) if off > 0.0 else 1.0
    model.error = max(0.01, error + 0.1 * (min(off, 3.0 * error) - error))
    unit = trust / (scale * scale)
    matrix, vector = model.matrix, model.vector
    for place, (i, value) in enumerate(present):
        weighted = value * unit
        vector[i] += weighted * difference
        row = matrix[i]
        for j, other in present[place:]:
            row[j] += weighted * other
    model.seen += 1
    if model.seen % _EVERY == 0 or model.seen in _EARLY:
        _fit(model)


def _fit(model: _Model) -> None:
    """Solve the normal equations (Cholesky), then let them fade."""
    rows: list[list[float]] = []
    values: list[float] = []
    matrix, vector = model.matrix, model.vector
    factors = [0.0] * _SIZE
    for i in range(_SIZE):
        row = matrix[i][:]
        row[i] += _RIDGE[i]
        value = vector[i]
        for k in range(i):
            factor = rows[k][i]
            if factor:
                above = rows[k]
                for j in range(i, _SIZE):
                    row[j] -= factor * above[j]
                value -= factor * values[k]
        root = math.sqrt(max(row[i], 1e-12))
        factors[i] = root
        rows.append([entry / root for entry in row])
        values.append(value / root)
    weights = [0.0] * _SIZE
    for i in reversed(range(_SIZE)):
        left = values[i] - sum(rows[i][j] * weights[j] for j in range(i + 1, _SIZE))
        weights[i] = left / factors[i]
    model.weights = weights
    if model.seen % _EVERY == 0:
        model.vector = [_FADE * entry for entry in vector]
        model.matrix = [[_FADE * entry for entry in row] for row in matrix]


def _is_sane(one: Learned) -> bool:
    return (
        0 < len(one.model) <= _MOST_NAME
        and one.seen > 0
        and math.isfinite(one.error)
        and len(one.weights) == _SIZE
        and all(math.isfinite(weight) and abs(weight) <= _MOST_WEIGHT for weight in one.weights)
    )
