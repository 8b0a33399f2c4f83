"""Rows against their provider: whether there is one, fields and options it has not got, what it needs, local files."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from batchmod import providers, rows, schema, sources
from batchmod.app.loading.settings import provider_for, provider_of
from batchmod.app.options import Options
from batchmod.app.services import Services
from batchmod.errors import ManifestError, Place, Problem, UsageError
from batchmod.jobs import normalised_prompt
from batchmod.model import Manifest, ProviderFacts, Row
from batchmod.rows import Stretch, files_of, parts_of

_WORDS: Final = {"mode": "mode", "first_frame_url": "first frame", "prompt": "prompt", "keyframes": "keyframes"}


def problems(parsed: Manifest, options: Options, services: Services) -> tuple[Problem, ...]:
    """Providers that there are not, options that the manifest's own has not got, and rows that do not fit theirs.

    What a row asks of a provider that there is not, nobody can say. Warnings where only a default asks for it. Raises
    UsageError for a provider of the command line that there is not.
    """
    found = _misnamed(parsed, options, services) or _unknown_options(parsed, options, services)
    bad = {problem.row for problem in found if problem.row is not None}
    known = replace(parsed, rows=rows.without(parsed.rows, bad))
    return (*found, *_unfit(known, options, services))


def _misnamed(parsed: Manifest, options: Options, services: Services) -> list[Problem]:
    """Rows whose provider does not exist. The command line's own is checked first, as a usage error."""
    if options.provider is not None:
        services.facts(options.provider)
    found = []
    usual = provider_for(None, parsed, options)
    for row in rows.saying(parsed.rows, "provider") if usual in providers.NAMES else parsed.rows:
        try:
            services.facts(provider_of(row, parsed, options))
        except UsageError as error:
            place = row.places.get("provider", row.place)
            found.append(Problem(place=place, field="provider", message=str(error), row=row.number))
    return found


def _unknown_options(parsed: Manifest, options: Options, services: Services) -> list[Problem]:
    """What the provider's own schema says of `provider_options`, where the manifest's own provider is asked."""
    if options.provider not in (None, parsed.provider):
        return []
    accepted = services.facts(parsed.provider or "local").options_schema
    place = Place(file=parsed.file)
    found = schema.problems(dict(parsed.provider_options), accepted, locate=schema.everywhere(place))
    return [replace(problem, field=f"provider_options.{problem.field or ''}".rstrip(".")) for problem in found]


def _unfit(parsed: Manifest, options: Options, services: Services) -> Iterator[Problem]:
    """What rows ask of their provider that it has not got; warnings where only a default asks for it."""
    warned: set[tuple[str, str]] = set()
    for row in _doubtful(parsed, options, services, warned):
        facts = services.facts(provider_of(row, parsed, options))
        its_options = parsed.provider_options if facts.name == parsed.provider else {}
        for problem in (*_lacking(row, facts, its_options), *_needs(row, facts), *_files(row, facts, services)):
            mark = (facts.name, problem.field or "")
            if not problem.warning or mark not in warned:
                yield problem
            if problem.warning:
                warned.add(mark)


def _doubtful(parsed: Manifest, options: Options, services: Services, warned: set[tuple[str, str]]) -> Iterator[Row]:
    """The rows that have to be looked at: not those of a long sheet that fit their provider at a glance."""
    for part in parts_of(parsed.rows):
        if isinstance(part, Stretch):
            kinds = [(services.facts(provider_for(named, parsed, options)), model) for named, model in part.kinds()]
            if all(_fits(part, facts, model, services, warned) for facts, model in kinds):
                continue
        yield from part


def _fits(
    part: Stretch, facts: ProviderFacts, model: str | None, services: Services, warned: set[tuple[str, str]]
) -> bool:
    """Whether nothing is to be said of plain rows that ask this provider for this model, or was said already."""
    if facts.hosted:
        services.endpoints(facts.name)  # raises where a base URL must not be used
    if not (model is None or not facts.models or model in facts.models):
        return False
    lacking = {field for field in _WORDS if field not in facts.fields and part.could_say((field,))}
    if lacking or ("mode" not in facts.fields and (facts.name, "mode") not in warned):
        return False
    if "prompt" not in facts.required and facts.prompt_chars is None:
        return True
    shortest, longest = facts.prompt_chars or (1, math.inf)
    words = (normalised_prompt(prompt) for prompt in set(part.columns()["prompt"]))
    return all(shortest <= len(each) <= longest if each else "prompt" not in facts.required for each in words)


def with_its_key(parsed: Manifest, options: Options, services: Services) -> tuple[Manifest, Services]:
    """A manifest without its `key_env`, and services that read its provider's key there.

    Raises ManifestError for a variable that the command line does not allow: a manifest is data, and may be somebody
    else's; it must not choose which of the environment's secrets is sent to whom.
    """
    services = replace(services, named_keys=options.key_env)
    given = dict(parsed.provider_options)
    variable = given.pop("key_env", None)
    name = parsed.provider or "local"
    if variable is None or name not in providers.HOSTED:
        return parsed, services
    if not isinstance(variable, str) or variable not in options.key_env:
        # What stands there is not repeated: it may be the key itself, put there by mistake.
        message = "the key is read from that variable only where the command line names it too"
        hint = "say --key-env and its name"
        place = Place(file=parsed.file)
        raise ManifestError([Problem(place=place, field="provider_options.key_env", message=message, hint=hint)])
    variables = {**services.key_variables, name: variable}
    return replace(parsed, provider_options=given), replace(services, key_variables=variables)


def _lacking(row: Row, facts: ProviderFacts, options: Mapping[str, Any]) -> Iterator[Problem]:
    """Fields that a row sets and its provider would leave out."""
    for field, words in _WORDS.items():
        asked = getattr(row, field) is not None and field not in facts.fields
        if not asked or field in options.get("ignore", ()):
            continue
        if field == "keyframes":
            yield _problem(row, field, f"{facts.name} takes no keyframes, only a first frame")
        elif field in row.explicit:
            said = f"`provider: {facts.name}` and `provider_options: {{ignore: [{field}]}}`"
            hint = f"leave it out, or say {said} in the manifest"
            yield _problem(row, field, f"{facts.name} has no {words}: it would be left out", hint=hint)
        else:
            message = f"{facts.name} has no {words}: what the defaults say is left out"
            yield _problem(row, field, message, warning=True)


def _needs(row: Row, facts: ProviderFacts) -> Iterator[Problem]:
    """What the provider cannot do without, and what it would refuse."""
    prompt = normalised_prompt(row.prompt)
    if "prompt" in facts.required and prompt is None:
        yield _problem(row, "prompt", f"{facts.name} needs a prompt")
    if prompt is not None and facts.prompt_chars is not None:
        shortest, longest = facts.prompt_chars
        if not shortest <= len(prompt) <= longest:
            message = (
                f"{facts.name} takes prompts of {shortest} to {longest:,} characters; this one has {len(prompt):,}"
            )
            yield _problem(row, "prompt", message)
    if row.model is not None and facts.models and row.model not in facts.models:
        message = f"'{row.model}' is no model of {facts.name}"
        yield _problem(row, "model", message, hint=f"there are {', '.join(facts.models)}")


def _files(row: Row, facts: ProviderFacts, services: Services) -> Iterator[Problem]:
    """Local files where there is no upload service."""
    if not facts.hosted or services.endpoints(facts.name).upload is not None:
        return
    variable = facts.base_urls["upload"][0] if "upload" in facts.base_urls else None
    hint = f"give a URL, or set {variable}" if variable else "give a URL, or name a provider that takes files"
    for named in files_of(row):
        if named.field in facts.fields and not sources.is_remote(named.value):
            message = f"'{named.value}' is a local file, and {facts.name} has no upload service here"
            yield Problem(place=named.place, field=named.field, message=message, hint=hint, row=row.number)


def _problem(row: Row, field: str, message: str, *, hint: str | None = None, warning: bool = False) -> Problem:
    place = row.places.get(field, row.place)
    return Problem(place=place, field=field, message=message, hint=hint, warning=warning, row=row.number)
