"""What a person can do next about a row, by its error code, else by its status."""

from collections.abc import Mapping
from typing import Final

from batchmod.model import Status

_RETRY: Final = "`batchmod run MANIFEST --retry-failed` sends it again."

_PAID: Final = "It was billed, or may have been: `batchmod run MANIFEST --pay-again ID` pays for another."

_BY_CODE: Final[Mapping[str, str]] = {
    "refused_prompt": "The provider's filter refused the prompt: reword it in the manifest and run again.",
    "refused_frame": "The provider's filter refused the first frame: edit another one and run again.",
    "refused_clip": "The provider's filter refused the clip; sending it again unchanged seldom helps.",
    "refused_output": f"The provider's filter refused what came out; a second try may pass. {_RETRY}",
    "generation_failed": f"The provider could not make it. {_RETRY}",
    "provider_error": f"The provider had a fault of its own. {_RETRY}",
    "rate_limited": f"The provider asked for patience. Lower `limits.submits_per_minute`. {_RETRY}",
    "unreachable": f"The provider was not reached; nothing was sent. {_RETRY}",
    "upload_failed": f"The clip did not get up; nothing was paid. {_RETRY}",
    "source_changed": "The clip changed while it was sent: run again when it is final.",
    "no_upload": "This provider takes URLs only: put the clip on a web address and name that in the manifest.",
    "clip_too_long": "Cut the clip to the provider's limit (`batchmod providers` lists them) and run again.",
    "clip_too_short": "Give a longer clip, or name another provider (`batchmod providers` lists the limits).",
    "unreadable_source": "The provider could not use the file: export it as a plain MP4 (H.264) or PNG and run again.",
    "cancelled": "It was cancelled at the provider.",
    "wrong_method": "The address does not take such a request: check the provider's base URL.",
    "clip_too_large": "Make the file smaller (`batchmod providers` lists the limits) and run again.",
    "bad_keyframes": "Name the edited frames after their place, such as shot-02.png or t-3.20s.png, and run again.",
    "no_look": "The embedded engine knows no look for this prompt: `batchmod looks` lists those it has.",
    "output_expired": "It was paid for, but the provider has deleted it; it is never sent again by itself.",
}

_BY_STATUS: Final[Mapping[Status, str]] = {
    Status.FAILED: _RETRY,
    Status.UNCERTAIN: (
        "It may have been paid for, so it is not sent again: the next `batchmod run` looks it up where the provider "
        "has a history. Otherwise decide with `batchmod resolve`."
    ),
    Status.INVALID: "Correct the row in the manifest and run again; nothing was sent.",
    Status.HELD: "It is not sent while it is held.",
    Status.PLANNED: "Not sent yet: `batchmod run` does it.",
    Status.SUBMITTING: "Its request was on its way: `batchmod run` finds out what became of it.",
    Status.SUBMITTED: "The provider works on it: `batchmod run` collects it.",
}


def advice(status: Status, code: str | None, *, paid: bool = False) -> str | None:
    """One or two sentences, with commands between backquotes; None where all is well.

    `paid`: a failure that was billed, or may have been: `--retry-failed` leaves it alone.
    """
    by_code = _BY_CODE.get(code or "") if status is Status.FAILED else None
    said = by_code or _BY_STATUS.get(status)
    return said.replace(_RETRY, _PAID) if said is not None and paid else said
