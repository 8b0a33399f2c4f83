"""report.html as a parser and, where there is one, a browser sees it."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmod import files, report
from batchmod.report import Background, Places, Since, card, page
from batchmod.report.cards import FACTS
from batchmod.report.tally import Totals
from batchmod.report.timeline import Timeline

VOID = {"meta", "link", "input", "img", "br"}
DRAWN = {"path"}
NASTY = [
    '<script>alert("x")</script>',
    "</style><b>bold</b>",
    "a \" onerror='alert(1)'",
    "&lt;not an entity&gt;",
    "]]>-->",
]


class Seen(HTMLParser):
    """All tags with their attributes, and each element's own text by `tag` or `tag.class`."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.elements: list[list[str]] = []
        self.open: list[list[str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag not in VOID | DRAWN:
            self.elements.append([f"{tag}.{given['class']}" if given.get("class") else tag, ""])
            self.open.append(self.elements[-1])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0].split(".")[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.open[-1][1] += data

    def of(self, where: str) -> list[str]:
        return [text for place, text in self.elements if place == where and text]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script draws."""
        found: dict[str, Any] = json.loads(self.of("script")[0])
        return found

    @property
    def cards(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.data["cards"]
        return found

    def all_of(self, name: str) -> list[Any]:
        return [card[name] for card in self.cards]

    @property
    def text(self) -> str:
        return "\n".join(text for where, text in self.elements if where not in {"style", "script"})


def line(number: int, status: str = "succeeded", **more: object) -> dict[str, Any]:
    columns: dict[str, Any] = dict.fromkeys(files.schema("results")["properties"])
    given = {
        "id": f"shot-{number}",
        "status": status,
        "row": number,
        "job_key": f"k1:{number}",
        "manifest": "autumn.yaml",
    }
    return columns | given | more


def done(number: int, **more: object) -> dict[str, Any]:
    facts = {"width": 480, "height": 270, "fps": "24000/1001", "frames": 120, "duration_s": 5.005, "has_audio": "true"}
    money = {"cost_usd": 0.6, "cost_source": "provider", "seconds": 156.2, "bytes": 2_400_000}
    output = {"output": f"videos/shot-{number}_v001.mp4", "finished_at": f"2026-05-03T10:00:{number % 60:02d}Z"}
    return line(number) | facts | money | output | {"request_id": f"r{number}", "flagged": "false"} | more


def written(
    folder: Path, lines: Iterable[Mapping[str, Any]], sources: Mapping[str, str] | None = None, **more: Any
) -> Seen:
    path = report.write(folder, lines, title="autumn", sources=sources or {}, **more)

    assert path == folder / "report.html"
    return Seen(path.read_text(encoding="utf-8"))


def test_every_row_is_there_and_nasty_texts_stay_texts(tmp_path: Path) -> None:
    lines = [
        done(
            n,
            id=text,
            prompt=text,
            error=text,
            flag_reason=text,
            warnings=text,
            request_id=text,
            review_note=text,
            **{f"my {text}": text},
        )
        for n, text in enumerate(NASTY, start=1)
    ]
    fields = {"prompt": "p", "error": "e", "flag_reason": "f", "warnings": "w", "review_note": "n", "own": "o"}
    plain = [done(n, **fields) for n in range(1, len(NASTY) + 1)]

    seen, harmless = written(tmp_path / "a", lines), written(tmp_path / "b", plain)

    for name in ("id", "prompt", "error", "doubt", "warnings", "note"):
        assert seen.all_of(name) == NASTY
    assert seen.of("td")[0::5][:1] == NASTY[:1]
    assert [tag for tag, _ in seen.tags] == [tag for tag, _ in harmless.tags]
    assert not [name for _, attrs in seen.tags for name in attrs if name.startswith("on") or name == "style"]


def test_nothing_in_the_data_ends_its_element(tmp_path: Path) -> None:
    written(tmp_path, [done(1, prompt="</script><script>alert(1)</script><!-- <script>")])

    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    data = text.split('<script type="application/json" id="data">')[1].split("</script>")[0]

    assert "<" not in data
    assert json.loads(data)["cards"][0]["prompt"] == "</script><script>alert(1)</script><!-- <script>"
    assert text.count("<script") == 2


@given(st.text(min_size=1).filter(lambda text: "://" not in text))
def test_any_text_comes_back_as_it_went_in(text: str) -> None:
    places = Places(folder=Path("/out"), sources={}, first_frames={})
    one = card(line(1, id=text, prompt=text, mine=text), places=places, ours=frozenset(line(1)))

    about = page.About(title=text, made_at="2026", totals=Totals(rows=1), shown=1)
    seen = Seen("".join(page.render(about, [one])))

    assert seen.of("h1") == seen.all_of("id") == seen.all_of("prompt") == [text]
    assert seen.all_of("own") == [[["mine", text]]]


def test_a_title_is_escaped_too(tmp_path: Path) -> None:
    report.write(tmp_path, [], title="</title><script>x</script>", sources={})

    seen = Seen((tmp_path / "report.html").read_text(encoding="utf-8"))

    assert seen.of("h1") == ["</title><script>x</script>"]
    assert len(seen.all("script")) == 2


def test_a_file_name_that_is_no_text_does_not_stop_the_page(tmp_path: Path) -> None:
    seen = written(tmp_path, [done(1, id="a\udcff")], {"a\udcff": "/clips/b\udcff.mp4"})

    assert seen.data["sources"][0][1].endswith("b%FF.mp4")


def test_only_the_pages_own_style_and_script_may_run(tmp_path: Path) -> None:
    text = report.write(tmp_path, [done(1)], title="autumn", sources={}).read_text(encoding="utf-8")
    seen = Seen(text)
    policies = [
        str(attrs["content"]) for attrs in seen.all("meta") if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    directives = dict(part.strip().split(" ", 1) for part in policies[0].split(";"))

    assert len(policies) == 1
    assert directives["default-src"] == directives["base-uri"] == directives["form-action"] == "'none'"
    assert directives["style-src"] == f"'{hashed(text, 'style')}'"
    assert directives["script-src"] == f"'{hashed(text, 'script')}'"
    assert not re.search(r"unsafe|https?:|\*", policies[0])


def hashed(html: str, tag: str) -> str:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    assert len(found) == 1
    return "sha256-" + base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()


def test_nothing_is_loaded_from_a_network(tmp_path: Path) -> None:
    remote = {"shot-1": "https://cdn.example/clips/woman.mp4?X-Amz-Signature=SECRET"}
    seen = written(tmp_path, [done(1)], remote, first_frames={"shot-1": "https://cdn.example/f.png?key=SECRET"})
    loaded = [attrs[name] for _, attrs in seen.tags for name in ("src", "href", "poster", "srcset") if name in attrs]

    assert not [url for url in loaded if re.match(r"([a-z]+:)?//", str(url))]
    assert seen.data["sources"] == [["https://cdn.example/clips/woman.mp4", "", ""]]
    assert seen.all_of("frame") == [["https://cdn.example/f.png", ""]]


def test_query_strings_are_cut_wherever_they_come_from(tmp_path: Path) -> None:
    signed = "see HTTPS://user:SECRET@cdn.example/a.mp4?sig=SECRET#SECRET (or s3://b/k?v=SECRET) now"
    fields = (
        "video_url",
        "prompt",
        "error",
        "flag_reason",
        "warnings",
        "model",
        "request_id",
        "review_note",
        "my column",
    )

    seen = written(tmp_path, [line(1, "failed", **dict.fromkeys(fields, signed))])

    assert "SECRET" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert seen.all_of("prompt") == ["see https://cdn.example/a.mp4 (or s3://b/k now"]


def test_local_files_are_referred_to_where_they_lie(tmp_path: Path) -> None:
    folder, clip = tmp_path / "outputs" / "autumn", tmp_path / "clips" / "50% #1: ü?.mp4"
    frame = tmp_path / "frames" / "shot 1.png"

    seen = written(folder, [done(1)], {"shot-1": str(clip)}, first_frames={"shot-1": str(frame)})
    (_, before, _), after = seen.data["sources"][0], seen.cards[0]["clip"]["href"]

    assert before == "../../clips/50%25%20%231%3A%20%C3%BC%3F.mp4"
    assert (folder / unquote(before)).resolve() == clip
    assert after == "videos/shot-1_v001.mp4"
    assert seen.all_of("frame") == [["shot 1.png", "../../frames/shot%201.png"]]
    assert [attrs["href"] for attrs in seen.all("a")] == ["results.csv", before, after]


def test_an_output_cannot_name_a_script_or_a_host(tmp_path: Path) -> None:
    seen = written(tmp_path, [done(1, output="javascript:alert(1)"), done(2, output="//evil.example/x.mp4")])
    sources = [clip["href"] for clip in seen.all_of("clip")]

    assert sources[0] == "javascript%3Aalert%281%29"
    assert sources[1].startswith("../")


def test_thumbnails_are_shown_where_there_are_some(tmp_path: Path) -> None:
    for name in ("shot-1_v001", "shot-1_v001.source", "deep/shot-3 #1_v001"):
        (tmp_path / f"thumbs/{name}.jpg").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"thumbs/{name}.jpg").write_bytes(b"jpeg")
    lines = [done(1), done(2), done(3, output="videos/deep/shot-3 #1_v001.mp4")]

    seen = written(tmp_path, lines, {"shot-1": "/clips/a.mp4", "shot-2": "/clips/b.mp4", "shot-3": "/clips/c.mp4"})

    thumbs = [clip.get("thumb") for clip in seen.all_of("clip")]
    assert thumbs == ["thumbs/shot-1_v001.jpg", None, "thumbs/deep/shot-3%20%231_v001.jpg"]
    assert [thumb for _, _, thumb in seen.data["sources"]] == ["thumbs/shot-1_v001.source.jpg", "", ""]


def test_what_needs_a_look_comes_first_then_the_rows_in_order(tmp_path: Path) -> None:
    lines = [
        done(1),
        line(2, "failed"),
        line(3, "planned"),
        done(4, flagged="true"),
        line(5, "uncertain"),
        line(6, "held"),
    ]

    seen = written(tmp_path, reversed(lines))

    assert seen.all_of("id") == ["shot-2", "shot-4", "shot-5", "shot-1", "shot-3", "shot-6"]
    assert [attrs["data-show"] for attrs in seen.all("button") if "data-show" in attrs] == [
        "all", "look", "flagged", "planned", "succeeded", "failed", "uncertain", "held",
    ]  # fmt: skip


def test_rows_of_one_clip_have_one_source_and_rows_without_any_have_none_in_common(tmp_path: Path) -> None:
    lines = [
        done(1),
        done(2),
        done(3, video_url="https://x.example/c.mp4?sig=1"),
        line(4, "invalid"),
        line(5, "invalid"),
    ]

    seen = written(tmp_path, lines, {"shot-1": "/clips/a.mp4", "shot-2": "/clips/a.mp4"})
    by_id = {card["id"]: card["source"] for card in seen.cards}

    assert by_id["shot-1"] == by_id["shot-2"]
    assert len(set(by_id.values())) == 4


def test_a_request_delivered_to_several_ids_is_paid_once(tmp_path: Path) -> None:
    lines = [done(1), done(2, request_id="r1"), done(3, cost_usd=0.25, cost_source="estimate"), line(4, "uncertain")]

    seen = written(tmp_path, lines)

    assert seen.of("b")[:4] == ["4", "1", "$0.85", "5 min 12 s"]
    assert "$0.25 of it estimated; without 1 uncertain, which may have been charged" in seen.of("small")
    assert [fact(card, "cost") for card in seen.cards] == ["", "$0.60", "$0.60", "about $0.25"]


def fact(card: dict[str, Any], name: str) -> str:
    return str(card["facts"][FACTS.index(name)]) if "facts" in card else ""


def test_a_free_batch_says_that_nothing_was_charged(tmp_path: Path) -> None:
    seen = written(tmp_path, [line(1, provider="local", seconds=12.4), line(2, cost_usd=0.004, job_key="")])
    free = written(tmp_path, [line(1, provider="local", seconds=12.4)])

    assert "$0.0040" in seen.of("b")
    assert free.of("b")[:4] == ["1", "0", "$0.00", "12 s"]
    assert "nothing was charged, as far as is known" in free.of("small")


def test_what_is_known_of_an_output_is_said_in_words(tmp_path: Path) -> None:
    scored = {"motion_score": 91.25, "drift_score": "40"}
    (shown,) = written(
        tmp_path,
        [done(1, mode="flex_2", provider="segmind", model="modify-video", attempts=2, review="keep", **scored)],
    ).cards
    facts = dict(zip(FACTS, shown["facts"], strict=True))

    assert facts == {
        "provider": "segmind · modify-video", "cost": "$0.60", "took": "2 min 36 s",
        "size": "480 x 270", "rate": "23.976 fps", "length": "5.00 s, 120 frames", "sound": "yes",
        "file": "2.4 MB", "variant": "", "attempts": "2", "request": "r1",
    }  # fmt: skip
    assert (shown["mode"], shown["review"]) == ("flex_2", "keep")
    assert shown["scores"] == [91.25, None, None, None, 40.0]


def test_odd_values_are_left_out_rather_than_shown(tmp_path: Path) -> None:
    odd = done(1, fps="0/0", cost_usd="nan", seconds=7300, bytes=900, frames=None, width=None, has_audio="false")

    (shown,) = written(tmp_path, [odd]).cards

    assert [text for text in shown["facts"] if text] == ["2 h 1 min", "5.00 s", "none", "1 kB", "r1"]
    assert {"size", "fps", "cost"}.isdisjoint(shown["clip"])


def test_a_failure_says_what_happened_and_what_to_do_next(tmp_path: Path) -> None:
    lines = [
        line(1, "failed", error_code="refused_prompt", error="the service said no"),
        line(2, "failed", error_code="some_new_code"),
        line(3, "uncertain", error_code="uncertain", error="the connection closed"),
    ]

    first, second, third = written(tmp_path, lines).cards

    assert (first["code"], first["error"]) == ("refused_prompt", "the service said no")
    assert first["advice"] == "The provider's filter refused the prompt: reword it in the manifest and run again."
    assert "`batchmod run MANIFEST --retry-failed`" in second["advice"]
    assert "`batchmod resolve`" in third["advice"]


@pytest.mark.parametrize(
    ("billed", "command"), [("false", "--retry-failed"), ("true", "--pay-again"), (None, "--pay-again")]
)
def test_a_failure_that_may_be_paid_is_not_to_be_retried_by_itself(
    billed: str | None, command: str, tmp_path: Path
) -> None:
    failed = line(1, "failed", error_code="generation_failed", request_id="r1", billed=billed)

    (shown,) = written(tmp_path, [failed]).cards

    assert command in shown["advice"]


def test_texts_of_a_csv_make_the_same_page_as_values(tmp_path: Path) -> None:
    values = [done(1, has_audio=True, flagged=True, flag_reason="short"), line(2, "failed", error="no")]
    texts = [{name: "" if value is None else str(value) for name, value in one.items()} for one in values]

    typed, read = written(tmp_path, values), written(tmp_path, texts)

    assert typed.data == read.data
    assert [tag for tag in typed.tags if tag[0] != "time"] == [tag for tag in read.tags if tag[0] != "time"]


def test_beyond_its_limit_the_page_keeps_what_needs_a_look_and_the_newest(tmp_path: Path) -> None:
    lines = [line(1, "failed"), done(2), done(3), done(4), line(5, "planned")]

    seen = written(tmp_path, lines, most=3)

    assert seen.all_of("id") == ["shot-1", "shot-3", "shot-4"]
    assert seen.of("b")[0] == "5"
    assert "This page shows 3 of 5 rows" in seen.text
    assert "This page shows" not in written(tmp_path, lines).text


def test_without_a_script_there_is_a_table_of_links(tmp_path: Path) -> None:
    seen = written(tmp_path, [done(1, mode="flex_1"), line(2, "failed", error="no <b>")], {"shot-1": "/clips/a.mp4"})

    assert seen.of("td") == ["shot-2", "failed", "no clip named", "no <b>", "shot-1", "succeeded", "flex_1"]
    assert [text for text in seen.of("a") if text.endswith(".mp4")] == ["a.mp4", "videos/shot-1_v001.mp4"]


def test_a_batch_without_rows_is_a_page_too(tmp_path: Path) -> None:
    seen = written(tmp_path, [])

    assert "No row to show." in seen.of("p")
    assert seen.all("html") == [{"lang": "en"}]
    assert seen.cards == []


# --- over time ----------------------------------------------------------------------------------------------


def test_progress_and_cost_are_drawn_with_the_same_in_words(tmp_path: Path) -> None:
    lines = [done(n, submitted_at="2026-05-03T09:00:00Z", finished_at=f"2026-05-03T09:{n}0:00Z") for n in range(1, 6)]

    seen = written(tmp_path, [*lines, line(6, "planned")])
    labels = [attrs["aria-label"] for attrs in seen.all("svg")]

    assert labels == [
        "Progress over time: 5 of 6 rows had ended after 50 min 0 s",
        "Cost over time: $3.00 after 50 min 0 s",
    ]
    assert {"09:00", "09:50", "$2.00", "6"} <= set(seen.of("text.time") + seen.of("text.level"))


def test_where_nothing_was_paid_there_is_no_chart_of_cost_and_of_one_moment_none_at_all(tmp_path: Path) -> None:
    free = [done(n, cost_usd=None, submitted_at="2026-05-03T09:00:00Z") for n in (1, 2)]

    assert len(written(tmp_path, free).all("svg")) == 1
    assert not written(tmp_path, [done(1)]).all("svg")


@given(st.lists(st.floats(0, 4e9), min_size=1), st.data())
def test_a_timeline_loses_nothing_however_long_it_is(moments: list[float], data: st.DataObject) -> None:
    timeline = Timeline()
    for moment in (*moments, *range(0, 2_000_000, 997)):
        timeline.add(float(moment), done=1, cost_usd=0.5)
    points = list(timeline.points())

    assert len(points) <= 512
    assert points[-1].done == len(moments) + len(range(0, 2_000_000, 997))
    assert points[-1].cost_usd == pytest.approx(points[-1].done * 0.5)
    assert [point.at for point in points] == sorted({point.at for point in points})
    assert points[-1].at >= max(moments)


# --- what is new, and what was before -----------------------------------------------------------------------

TEN = Since(began=1777802400.0, began_at="2026-05-03T10:00:00Z", is_first=False, succeeded=2, failed=1, cost_usd=1.2)


def test_what_the_newest_run_changed_is_said_and_marked(tmp_path: Path) -> None:
    lines = [
        done(1, finished_at="2026-05-03T09:59:59Z"),
        done(2, version=1),
        done(3, version=2),
        line(4, "failed", finished_at="2026-05-03T10:05:00Z"),
        line(5, "submitted", submitted_at="2026-05-03T10:05:00Z"),
        line(6, "planned"),
    ]

    seen = written(tmp_path, lines, background=Background(since=TEN))
    news = {card["id"]: card.get("news") for card in seen.cards}

    assert news == {
        "shot-1": None, "shot-2": "new", "shot-3": "version", "shot-4": "failed", "shot-5": "sent", "shot-6": None,
    }  # fmt: skip
    assert "Since the previous run: 2 new outputs, 1 failed, $1.20 (run of " in seen.of("p.news")[0]


def test_of_the_first_run_nothing_is_called_new(tmp_path: Path) -> None:
    first = Background(since=replace(TEN, is_first=True))

    seen = written(tmp_path, [done(1)], background=first)

    assert "news" not in seen.cards[0]
    assert "first run" in seen.of("p.news")[0]


def test_earlier_versions_stand_behind_the_row(tmp_path: Path) -> None:
    before = done(1, version=1, prompt="as clay", mode="flex_1")
    now = done(1, version=2, output="videos/shot-1_v002.mp4", prompt="as wool", mode="flex_1")

    (shown,) = written(tmp_path, [now], background=Background(older={"shot-1": [before]})).cards

    assert [(clip["v"], clip["href"]) for clip in (shown["clip"], *shown["older"])] == [
        (2, "videos/shot-1_v002.mp4"), (1, "videos/shot-1_v001.mp4"),
    ]  # fmt: skip
    assert shown["older"][0]["about"] == "as clay"


def test_the_foot_says_what_a_kept_shot_took(tmp_path: Path) -> None:
    paid = Background(generations=5, spent_usd=3.0)

    kept = written(tmp_path, [done(1, review="keep"), done(2, review="keep"), done(3)], background=paid)
    none = written(tmp_path, [done(1)], background=Background(generations=1, spent_usd=0.6))

    assert "5 generations, $3.00; 2 kept: 2.5 generations and $1.50 per kept shot." in kept.of("p")
    guessed = written(tmp_path, [done(1)], background=replace(paid, is_estimated=True))

    assert "1 generation, $0.60; no shot is kept yet." in none.of("p")
    assert "5 generations, about $3.00; no shot is kept yet." in guessed.of("p")
