"""What a manifest says for runs that nobody watches, and what the user's configuration allows of it."""

import pytest

from batchmod import files
from batchmod.errors import ManifestError
from batchmod.manifest import configuration, standing
from batchmod.manifest.configuration import Configuration, Program
from batchmod.model import Hook, Manifest, Notice
from tests.unit.published import manifest_from, schemas

_ROWS = "clips: [{video_url: a.mp4, shot: 12A}]\n"


def _manifest(text: str) -> Manifest:
    return manifest_from(f"{text}\n{_ROWS}", file="m.yaml")


def _refusal(text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        _manifest(text)
    return str(caught.value)


def test_the_schema_is_the_only_home_of_their_defaults() -> None:
    made = _manifest("on_succeeded: [publish, '{output}']\nnotify: [{url: https://example.com/h}]")

    assert made.on_succeeded == Hook(command=("publish", "{output}"))
    assert made.notify == (Notice(url="https://example.com/h"),)
    assert (made.recheck_sources, made.max_age_s) == (False, None)
    assert _manifest("").on_succeeded is None


@pytest.mark.parametrize(("said", "seconds"), [("12h", 43_200.0), ("30d", 2_592_000.0), ("4w", 2_419_200.0)])
def test_an_age_is_hours_days_or_weeks(said: str, seconds: float) -> None:
    assert _manifest(f"max_age: {said}").max_age_s == seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_age: 30", "m.yaml:1:10 (max_age): '30' is no age; a number and h, d or w: 12h, 30d, 4w"),
        ("max_age: 0d", "'0d' is no age"),
        ("on_succeeded: publish", "on_succeeded must be a list"),
        ("on_succeeded: []", "on_succeeded"),
        ("on_succeeded: ['{id}']", "the first is the program itself: a plain name or path"),
        ("on_succeeded: [publish, '{shto}']", "{shto} is no column of any row; did you mean 'shot'?"),
        ("on_succeeded: [publish, '{id']", "m.yaml:1:25 (on_succeeded): a single '{' at character 1"),
        ("on_succeeded: [p]\nhooks: {tries: 0}", "hooks.tries"),
        ("notify: [{}]", "url"),
        ("notify: [{url: http://example.com/}]", "plain http is for this machine only"),
        ("notify: [{url: 'https://u:p@example.com/'}]", "must not hold a user or password"),
        ("notify: [{url: '${HOME}'}]", "may not be read"),
        ("notify: [{url: https://example.com/, on: [start]}]", "'start' is not possible here"),
        ("notify: [{url: https://example.com/, secret_env: whsec_abc=}]", "no name of an environment variable"),
        ("notify: [{url: https://example.com/, secret_env: S, format: slack}]", "only `format: json` is signed"),
        ("recheck_sources: mtime", "recheck_sources"),
    ],
)
def test_a_mistake_is_said_with_its_place(text: str, words: str) -> None:
    assert words in _refusal(text)


def test_a_secret_put_where_its_name_belongs_is_not_repeated() -> None:
    assert "whsec_abc" not in _refusal("notify: [{url: https://example.com/, secret_env: whsec_abc=}]")


def _arguments(*command: str, **values: str) -> list[str] | str:
    return standing.arguments(Hook(command=("p", *command)), values)


def test_a_value_is_put_in_as_it_is_and_never_read_again() -> None:
    odd = "{id} $(rm -rf /) `x` ; \"'\n"

    assert _arguments("{shot}", "a{{b}}c", "x-{shot}", id="i", shot=odd) == [odd, "a{b}c", f"x-{odd}"]
    assert _arguments("{shot.__class__}", **{"shot.__class__": "plain"}) == ["plain"]


def test_a_value_is_never_taken_for_an_option() -> None:
    assert "could be taken for an option" in _arguments("{shot}", shot="-rf")
    assert "could be taken for an option" in _arguments("{empty}{shot}", empty="", shot="--delete")
    assert _arguments("--shot={shot}", shot="-rf") == ["--shot=-rf"]
    assert _arguments("--", "{shot}", shot="-rf") == ["--", "-rf"]
    assert "could be taken for an option" in _arguments("{sep}", "{shot}", sep="--", shot="-rf")


def _read(text: str) -> tuple[Configuration, list[str]]:
    found, problems = configuration.read(
        text, file="config.yaml", schemas=schemas(), schema=files.schema("config"), variables={"BATCHMOD_VAR_A": "b"}
    )
    return found, [str(problem) for problem in problems]


def test_a_configuration_says_what_manifests_may_do() -> None:
    found, problems = _read(
        "version: 1\nnotify: [{url: 'https://example.com/${BATCHMOD_VAR_A}', format: slack}]\n"
        "allow:\n  programs: [{program: /opt/p, manifests: [/shows/*]}]\n  urls: [https://a.example/in/]\n"
        "  secrets: [S]\n"
    )

    assert problems == []
    assert found == Configuration(
        notify=(Notice(url="https://example.com/b", format="slack"),),
        programs=(Program(path="/opt/p", manifests=("/shows/*",)),),
        urls=("https://a.example/in/",),
        secrets=frozenset({"S"}),
    )


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}\n"])
def test_an_empty_configuration_allows_nothing(text: str) -> None:
    assert _read(text) == (Configuration(), [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("alow: {}", "config.yaml:1:1: unknown key 'alow'; did you mean 'allow'?"),
        ("allow: {programs: [{program: publish}]}", "a program is allowed by its whole path"),
        ("allow: {urls: [http://example.com]}", "plain http is for this machine only"),
        ("allow: [x]", "config.yaml:1:8 (allow)"),
        ("- x", "config.yaml:1:1"),
        ("a: &a [*a]", "config.yaml"),
        ("notify: [{url: 3}]", "notify"),
    ],
)
def test_a_mistake_in_the_configuration_allows_nothing(text: str, words: str) -> None:
    found, problems = _read(text)

    assert found == Configuration()
    assert any(words in problem for problem in problems), problems


def test_a_program_is_allowed_by_its_whole_path_and_for_its_manifests() -> None:
    own = Configuration(programs=(Program(path="/opt/p", manifests=("/shows/*",)), Program(path="/opt/q")))

    assert own.allows_program("/opt/p", manifest="/shows/a/m.yaml")
    assert not own.allows_program("/opt/p", manifest="/home/x/m.yaml")
    assert not own.allows_program("/tmp/p", manifest="/shows/a/m.yaml")
    assert own.allows_program("/opt/q", manifest="/anywhere")


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://a.example/in", True),
        ("https://a.example/in/x?y=1", True),
        ("https://A.example:443/in/x", True),
        ("https://a.example/inside", False),
        ("https://a.example.evil.example/in/x", False),
        ("http://a.example/in/x", False),
        ("https://a.example/in/../x", False),
        ("https://a.example/in/%2e%2E/x", False),
        ("https://a.example/", False),
    ],
)
def test_a_url_is_allowed_by_its_origin_and_the_beginning_of_its_path(url: str, *, fine: bool) -> None:
    assert Configuration(urls=("https://a.example/in/",)).allows_url(url) is fine
