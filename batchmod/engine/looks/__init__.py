"""The looks and modifiers that a prompt can ask for: understood from its words, drawn without any model."""

from batchmod.engine.looks.catalogue import LOOKS, Look, names
from batchmod.engine.looks.colours import COLOURS
from batchmod.engine.looks.modifiers import MODIFIERS, Modifier
from batchmod.engine.looks.understanding import Understanding, understand

__all__ = ["COLOURS", "LOOKS", "MODIFIERS", "Look", "Modifier", "Understanding", "names", "understand"]
