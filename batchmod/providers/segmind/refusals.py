"""What Segmind's refusals mean beyond their status: two texts of 401, four of 406, told apart by their words."""

import re
from typing import Final

from batchmod.model import Blocked, Failed, Reply, Sent, Step
from batchmod.providers import steps
from batchmod.providers.answers import filter_slug, words_of
from batchmod.providers.segmind.facts import FACTS
from batchmod.providers.steps import State

_MONEY: Final = {"credit", "credits", "balance", "balances", "fund", "funds", "wallet"}
_CAP: Final = {"spend", "spending", "spent", "budget", "budgets"}
_LIMITED: Final = {"cap", "quota"}
_MISSING: Final = {"missing", "required", "absent", "empty"}
_NOT_ACCEPTED: Final = {"invalid", "expired", "incorrect", "wrong", "revoked"}
_OF_A_JOB: Final = {"value", "video", "clip", "image", "frame", "frames", "prompt", "resolution", "duration", "length"}
"""Words of a job's inputs: beside them `insufficient`, `cap` and `quota` alone say nothing of the account."""


def refusal(state: State, reply: Reply, *, what: str) -> Step:
    """A definite 4xx: nothing was created."""
    text = words_of(reply)
    for_all = blocked(state, reply)
    if for_all is not None:
        return for_all
    if reply.status != 406:
        return steps.refusal(state, reply, facts=FACTS, what=what)
    message = f"the service refused the {what} (HTTP 406): {text}"
    return Failed(state=state, slug=_jobs_slug(text), message=message, again=steps.mended_by(state, reply))


def blocked(state: State, reply: Reply) -> Blocked | None:
    """A refusal that concerns every job: key, account, credits, spending cap, model."""
    slug, text = None, words_of(reply)
    if reply.status == 401 and _says_no_key(_words(text)):
        slug = "key_missing"
    elif reply.status == 406 and filter_slug(text) is None:  # a filter may repeat the prompt, whose words say nothing
        slug = _accounts_slug(_words(text))
    if slug is not None and reply.sent is Sent.ANSWERED:
        return steps.stopped(state, reply, slug, facts=FACTS)
    return steps.blocked(state, reply, facts=FACTS)


def _says_no_key(words: set[str]) -> bool:
    denied = bool(words & {"no", "not"} and words & {"found", "provided"})
    return (denied or bool(words & _MISSING)) and not words & _NOT_ACCEPTED


def _accounts_slug(words: set[str]) -> str | None:
    """Of a 406 that is no filter's: credits or the team's cap, in whichever words; None where it is the job's own."""
    of_account = not words & _OF_A_JOB
    if "insufficient" in words and (of_account or words & _MONEY):
        return "no_credits"
    if words & _CAP or {"team", "limit"} <= words or (of_account and words & _LIMITED):
        return "spend_cap"
    return "no_credits" if words & _MONEY else None


def _jobs_slug(text: str) -> str:
    filtered = filter_slug(text)
    if filtered is None and {"content", "type"} <= _words(text):
        return "bad_content_type"
    return filtered or "refused_value"


def _words(text: str) -> set[str]:
    """The words of a text, without the model's name, which has `video` in it."""
    return set(re.split(r"[^a-z]+", text.lower().replace("modify-video", " ")))
