"""batchmod modifies video clips in batches: a manifest goes in, modified videos come out."""

__version__ = "0.1.0"
