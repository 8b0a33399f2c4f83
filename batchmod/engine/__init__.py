"""The embedded video engine: arrays in, arrays out; files only in `pipeline`."""
