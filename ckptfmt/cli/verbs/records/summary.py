"""The features of many examples, summarised: their names, dtypes and lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from ckptfmt.cli.verbs.records.content import (
    Content,
    Feature,
    dtype_text,
    values_text,
)


@dataclass
class Range:
    """The smallest and the largest of some numbers."""

    low: int | None = None
    high: int | None = None

    def add(self, number: int) -> None:
        """Add a number."""
        self.low = number if self.low is None else min(number, self.low)
        self.high = number if self.high is None else max(number, self.high)

    def __str__(self) -> str:
        if self.low is None:
            return "-"
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"

    def to_json(self) -> list[int | None] | None:
        """Return both for JSON, None without numbers."""
        return None if self.low is None else [self.low, self.high]


@dataclass
class FeatureSummary:
    """One feature, or feature list, in all examples that have it."""

    name: str
    is_list: bool
    records: int = 0
    """Examples that have it."""
    dtypes: Counter[str] = field(default_factory=Counter)
    lengths: Range = field(default_factory=Range)
    steps: Range = field(default_factory=Range)
    """Steps of a list."""
    value: str = ""
    """The first values, shortened."""

    def add(self, feature: Feature) -> None:
        """Add the feature of one example, or a step of it."""
        self.dtypes[dtype_text(feature.values)] += 1
        self.lengths.add(len(feature.values))
        self.value = self.value or values_text(feature.values)

    @property
    def dtype(self) -> str:
        """Its dtype; several if examples differ, the most frequent first."""
        return "|".join(dtype for dtype, _ in self.dtypes.most_common()) or "-"

    def to_json(self) -> dict[str, object]:
        """Return the summary for JSON."""
        return {
            "feature": self.name,
            "is_list": self.is_list,
            "dtype": self.dtype,
            "steps": self.steps.to_json(),
            "length": self.lengths.to_json(),
            "records": self.records,
            "value": self.value,
        }


class Summary:
    """All features, each in all examples."""

    def __init__(self) -> None:
        self._features: dict[tuple[bool, str], FeatureSummary] = {}

    def add(self, content: Content) -> None:
        """Add what a record holds."""
        if content.example is None:
            return
        for name, values in content.example.context.items():
            summary = self._of(name, is_list=False)
            summary.records += 1
            summary.add(Feature(name, None, values))
        for name, steps in content.example.feature_lists.items():
            summary = self._of(name, is_list=True)
            summary.records += 1
            summary.steps.add(len(steps))
            for step, values in enumerate(steps):
                summary.add(Feature(name, step, values))

    def _of(self, name: str, *, is_list: bool) -> FeatureSummary:
        key = is_list, name
        if key not in self._features:
            self._features[key] = FeatureSummary(name, is_list)
        return self._features[key]

    def features(self) -> Iterator[FeatureSummary]:
        """Iterate over the features by name, feature lists last."""
        return iter(self._features[key] for key in sorted(self._features))
