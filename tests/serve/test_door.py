"""Who may come in: hosts, sites, keys and the page's token, decided from values and seen over HTTP."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from batchmod.serve.contract import KEY_INVALID, KEY_MISSING, Refused
from batchmod.serve.door import Door, answers_to, base_of, check, is_open, names_of
from tests.serving import KEY, Running, service

TOKEN = "the-page's-token"
LOCAL = Door(
    names=names_of(host="127.0.0.1", machine="render", public_url=None), addresses=False, key=None, token=TOKEN
)
TEAM = Door(names=names_of(host="0.0.0.0", machine="Render", public_url=None), addresses=True, key=KEY, token=TOKEN)
API = "/v2/modify-video"


def answer(door: Door, path: str = API, method: str = "POST", **headers: str) -> int:
    """200, or the status of the refusal."""
    named = {name.replace("_", "-"): value for name, value in {"host": "127.0.0.1:8700", **headers}.items()}
    try:
        check(door, method=method, path=path, headers=named)
    except Refused as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8700", "localhost:8700", "localhost", "LOCALHOST:9000", "[::1]:8700", "127.0.0.1"]
)
def test_on_loopback_this_machine_is_answered_to(host: str) -> None:
    assert answer(LOCAL, host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8700",
        "evil.example",
        "127.0.0.1.evil.example:8700",
        "localhost.evil.example",
        "localhost.",
        "evil.example@localhost",
        "localhost/evil.example",
        "localhost?x",
        "localhost#x",
        "localhost:x",
        "192.168.1.5:8700",
        "0.0.0.0:8700",
        "[::]:8700",
        "[::ffff:127.0.0.1]:8700",
        "render:8700",
        "",
    ],
)
def test_on_loopback_no_other_host_is_answered_to(host: str) -> None:
    assert answer(LOCAL, host=host) == 403
    assert answer(LOCAL, "/", "GET", host=host) == 403


@pytest.mark.parametrize("host", ["192.168.1.5:8700", "[fd00::5]:8700", "render:8700", "render.local", "localhost:1"])
def test_for_a_team_addresses_and_the_machines_own_name_are_answered_to(host: str) -> None:
    assert answer(TEAM, host=host, x_api_key=KEY) == 200


@pytest.mark.parametrize("host", ["evil.example:8700", "render.evil.example", "192.168.1.5.nip.io"])
def test_for_a_team_a_name_that_somebody_else_could_point_here_is_not(host: str) -> None:
    assert answer(TEAM, host=host, x_api_key=KEY) == 403


def test_a_public_url_gives_a_name_and_links_begin_with_it() -> None:
    url = "https://clips.example.org"
    names = names_of(host="127.0.0.1", machine="render", public_url=url)
    door = Door(names=names, addresses=False, key=KEY, token=TOKEN, public_origin=url)

    assert answer(door, host="clips.example.org", x_api_key=KEY) == 200
    assert answer(door, host="clips.example.org", origin=url, x_api_key=KEY, x_page_token=TOKEN) == 200
    assert base_of(door, {"host": "clips.example.org"}) == url
    assert base_of(door, {"host": "127.0.0.1:8700"}) == "http://127.0.0.1:8700"
    assert answers_to(door, "clips.example.org", port=8700)
    assert answers_to(door, "localhost:8700", port=8700)
    assert not answers_to(door, "localhost:8701", port=8700)
    assert not answers_to(door, "evil.example:8700", port=8700)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", [API, "/", "/docs", "/page/page.js", "/outputs/x.mp4", "/v1/get-user-credits"])
def test_a_page_of_another_site_gets_nothing(site: str, path: str) -> None:
    for method in ("GET", "POST"):
        assert answer(LOCAL, path, method, sec_fetch_site=site, sec_fetch_mode="no-cors", x_page_token=TOKEN) == 403


def test_a_link_on_another_site_opens_a_page_or_a_video_and_nothing_else() -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}

    assert answer(LOCAL, "/", "GET", **link) == answer(LOCAL, "/outputs/x.mp4", "GET", **link) == 200
    assert answer(LOCAL, "/", "GET", **{**link, "sec_fetch_dest": "iframe"}) == 403
    assert answer(LOCAL, "/v1/get-user-credits", "GET", **link) == 403
    assert answer(LOCAL, API, "POST", **link) == 403


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost:8700", "http://127.0.0.1:8701", "https://127.0.0.1:8700", ""],
)
def test_another_origin_gets_nothing_even_with_the_token(origin: str) -> None:
    assert answer(LOCAL, origin=origin, x_page_token=TOKEN) == 403


def test_the_own_page_needs_its_token_and_a_program_does_not() -> None:
    own = {"origin": "http://127.0.0.1:8700", "sec_fetch_site": "same-origin"}

    assert answer(LOCAL) == 200
    assert answer(LOCAL, **own) == 403
    assert answer(LOCAL, **own, x_page_token="guess") == 403
    assert answer(LOCAL, **own, x_page_token=TOKEN) == 200
    assert answer(LOCAL, "/", "GET", sec_fetch_site="none") == 200
    assert answer(LOCAL, "/v1/get-user-credits", "GET", sec_fetch_site="none") == 403


@pytest.mark.parametrize("path", [API, "/v1/modify-video", "/upload-asset", "/v1/get-user-credits", "/nowhere"])
def test_a_key_that_is_set_is_needed_everywhere_also_on_loopback(path: str) -> None:
    local = Door(names=LOCAL.names, addresses=False, key=KEY, token=TOKEN)
    for door in (TEAM, local):
        assert answer(door, path) == answer(door, path, x_api_key="") == 401
        assert answer(door, path, x_api_key=KEY[:-1]) == answer(door, path, x_api_key=f"{KEY} ") == 401
        assert answer(door, path, x_api_key=KEY) == 200
        assert answer(door, path, authorization=f"Bearer {KEY}") == 401


def test_the_token_is_no_key_and_the_key_no_token() -> None:
    own = {"origin": "http://127.0.0.1:8700", "sec_fetch_site": "same-origin"}

    assert answer(TEAM, **own, x_page_token=TOKEN) == 401
    assert answer(TEAM, **own, x_api_key=KEY) == 403
    assert answer(TEAM, **own, x_api_key=KEY, x_page_token=TOKEN) == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/page/page.js", "/assets/x.mp4", "/outputs/x.mp4"])
def test_pages_and_files_need_no_key(path: str) -> None:
    assert is_open(path)
    assert answer(TEAM, path, "GET") == 200


@pytest.mark.parametrize("path", ["/v2/requests/x", "//", "/docs/", "/pagex", "/Assets/x", "/inference-request/x"])
def test_nothing_else_is_open(path: str) -> None:
    assert not is_open(path)


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Running]:
    with service(tmp_path / "data", key=KEY) as running:
        yield running


def test_the_refusals_have_the_contracts_shape_and_texts(team: Running) -> None:
    missing = team.ask("GET", "/v1/get-user-credits")
    wrong = team.ask("GET", "/v1/get-user-credits", headers={"x-api-key": "SG_wrong"})
    foreign = team.ask("GET", "/v1/get-user-credits", headers={"Host": "evil.example", "x-api-key": KEY})

    assert (missing.status_code, missing.json()) == (401, {"error": KEY_MISSING})
    assert (wrong.status_code, wrong.json()) == (401, {"error": KEY_INVALID})
    assert foreign.status_code == 403
    assert set(foreign.json()) == {"error"}
    assert team.ask("GET", "/v1/get-user-credits", headers={"x-api-key": KEY}).status_code == 200


def test_no_answer_lets_another_origin_read_or_frame_it(team: Running) -> None:
    origin = {"Origin": "https://evil.example", "x-api-key": KEY}
    preflight = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    answers = [
        team.ask("GET", "/v1/get-user-credits", headers=origin),
        team.ask("GET", "/v1/get-user-credits", headers={"x-api-key": KEY}),
        team.ask("OPTIONS", "/v2/modify-video", headers=preflight),
        team.ask("OPTIONS", "/v2/modify-video"),
        team.ask("GET", "/"),
        team.ask("GET", "/docs"),
        team.ask("GET", "/nowhere"),
    ]

    for seen in answers:
        assert not [name for name in seen.headers if name.startswith("access-control-")]
        assert seen.headers["x-frame-options"] == "DENY"
        assert seen.headers["x-content-type-options"] == "nosniff"
        assert seen.headers["cross-origin-resource-policy"] == "same-origin"
    assert answers[0].status_code == 403
    assert answers[2].status_code == 403


def test_the_page_holds_a_token_that_works_and_is_new_with_every_service(team: Running, tmp_path: Path) -> None:
    token = page_token(team)
    own = {"Origin": team.url, "Sec-Fetch-Site": "same-origin", "x-api-key": KEY, "x-page-token": token}

    assert team.ask("GET", "/v1/get-user-credits", headers=own).status_code == 200
    with service(tmp_path / "other") as other:
        assert page_token(other) != token


def page_token(running: Running) -> str:
    found = re.search(r'name="page-token" content="([^"]+)"', running.ask("GET", "/").text)
    assert found is not None
    return found[1]


def test_a_refused_upload_is_told_why_although_its_body_was_on_its_way(team: Running) -> None:
    body = b"x" * 30_000_000
    seen = httpx.post(f"{team.url}/upload-asset", content=body, trust_env=False, timeout=60.0)

    assert (seen.status_code, seen.json()) == (401, {"error": KEY_MISSING})


def test_the_key_stands_in_no_answer_and_in_no_file(team: Running, tmp_path: Path) -> None:
    texts = [team.ask("GET", path).text for path in ("/", "/docs", "/openapi.json", "/nowhere")]
    sent = {"video_url": "http://127.0.0.1:9/a.mp4"}
    assert team.ask("POST", "/v2/modify-video", json=sent, headers={"x-api-key": KEY}).status_code == 200

    assert not [text for text in texts if KEY in text]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
