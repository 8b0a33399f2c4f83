"""Segmind's modify-video (v2: submit, poll, result) as pure functions: `next_step(state, reply) → Step`.

Contract: https://docs.segmind.com/docs/serverless-api/async-inference and
https://www.segmind.com/models/modify-video/api; what those leave open was read in the source of the vendor's Python
SDK 1.3.0.
"""

from batchmod.providers.answers import http_date
from batchmod.providers.segmind.account import balance_of, balance_request, cancel_request
from batchmod.providers.segmind.dialect import begin, key_headers, next_step, resume
from batchmod.providers.segmind.facts import FACTS
from batchmod.providers.segmind.history import history_request, history_rows, history_spans
from batchmod.providers.steps import saved

__all__ = [
    "FACTS",
    "balance_of",
    "balance_request",
    "begin",
    "cancel_request",
    "history_request",
    "history_rows",
    "history_spans",
    "http_date",
    "key_headers",
    "next_step",
    "resume",
    "saved",
]
