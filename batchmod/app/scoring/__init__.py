"""Scores and thumbnails: beside a run, where they delay nothing, or afterwards, where they are waited for."""
