"""What Segmind's refusals mean beyond their status: two texts of 401, four of 406."""

from batchmod.model import Blocked, Failed, Reply, Sent, Step
from batchmod.providers import steps
from batchmod.providers.answers import words_of
from batchmod.providers.segmind.facts import FACTS
from batchmod.providers.steps import State


def refusal(state: State, reply: Reply, *, what: str) -> Step:
    """A definite 4xx: nothing was created."""
    text = words_of(reply)
    for_all = blocked(state, reply)
    if for_all is not None:
        return for_all
    if reply.status != 406:
        return steps.refusal(state, reply, facts=FACTS, what=what)
    slug = "bad_content_type" if {"content", "type"} <= set(_words(text)) else "refused_value"
    message = f"the service refused the {what} (HTTP 406): {text}"
    return Failed(state=state, slug=slug, message=message, again=steps.mended_by(state, reply))


def blocked(state: State, reply: Reply) -> Blocked | None:
    """A refusal that concerns every job: key, account, credits, spending cap, model."""
    words = _words(words_of(reply))
    slug = None
    if reply.status == 401 and {"no", "found"} <= set(words):
        slug = "key_missing"
    elif reply.status == 406 and any(word.startswith(("credit", "balance")) for word in words):
        slug = "no_credits"
    elif reply.status == 406 and any(word.startswith("spend") for word in words):
        slug = "spend_cap"
    if slug is not None and reply.sent is Sent.ANSWERED:
        return steps.stopped(state, reply, slug, facts=FACTS)
    return steps.blocked(state, reply, facts=FACTS)


def _words(text: str) -> list[str]:
    return text.lower().replace(".", " ").replace(",", " ").replace(":", " ").split()
