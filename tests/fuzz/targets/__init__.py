"""A target for each decoder."""

from tests.fuzz.target import Target
from tests.fuzz.targets import checkpoints, graphs, objects, other_programs, records, tables, texts, values

TARGETS: dict[str, Target] = {
    name: target
    for module in (tables, checkpoints, objects, graphs, records, texts, values, other_programs)
    for name, target in module.TARGETS.items()
}
"""Every target by its name, which is also that of its folder in ``inputs``."""
