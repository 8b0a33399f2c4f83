"""What a URL says by itself."""

import pytest

from batchmod.urls import (
    check_address,
    check_base_url,
    check_hop,
    check_request_url,
    cut,
    identity_of_url,
    is_loopback_host,
    is_signed_for,
    origin_of,
    without_query,
)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("HTTPS://API.Segmind.com:443/v2?x=1", "https://api.segmind.com"),
        ("http://localhost:8801/", "http://localhost:8801"),
        ("http://localhost:80", "http://localhost"),
        ("https://x.example:80", "https://x.example:80"),
        ("http://[::1]:8080/a", "http://[::1]:8080"),
        ("https://user:word@x.example/", "https://x.example"),
    ],
)
def test_an_origin_is_scheme_host_and_an_unusual_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize("url", ["", "shots/a.mp4", "https://", "http://x:99999/", "http://[::1/"])
def test_what_has_no_origin_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        origin_of(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x.example/a/b.mp4?X-Amz-Signature=abc#t=1", "https://x.example/a/b.mp4"),
        ("https://user:word@x.example/a", "https://x.example/a"),
        ("clips/a.mp4?x", "clips/a.mp4"),
        ("http://[::1?x", "an unreadable URL"),
        ("http://x:port/?key=abc", "an unreadable URL"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert without_query(url) == shown


S3 = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F1&X-Amz-Date=1&X-Amz-Expires=9&X-Amz-Signature="
GOOGLE = "X-Goog-Algorithm=GOOG4&X-Goog-Credential=a%40b&X-Goog-Date=1&X-Goog-Expires=9&X-Goog-Signature="
AZURE = "sv=2024-01-01&st=2025&se=2026&sr=b&sp=r&spr=https&skoid=1&sktid=2&sig="


@pytest.mark.parametrize(
    "signing",
    [
        S3,
        S3.lower(),
        GOOGLE,
        AZURE,
        "AWSAccessKeyId=AK&Expires=1&Signature=",
        "GoogleAccessId=a%40b&Expires=1&Signature=",
        "Expires=1&Key-Pair-Id=K1&Signature=",
        "Policy=abc&Key-Pair-Id=K1&Signature=",
        "OSSAccessKeyId=AK&Expires=1&Signature=",
    ],
)
def test_one_file_signed_twice_is_one_file(signing: str) -> None:
    plain = "https://x.example/a%20b.mp4?versionId=7"
    assert identity_of_url(f"{plain}&{signing}abc") == identity_of_url(f"{plain}&{signing}d%2Bf%3D") == plain
    assert identity_of_url(f"https://x.example/a.mp4?{signing}abc") == "https://x.example/a.mp4"


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("HTTPS://X.Example:443/A/b.mp4?b=2&a=1#t=3", "https://x.example/A/b.mp4?b=2&a=1"),
        ("https://x.example", "https://x.example/"),
        ("https://x.example/?st=30&sp=2&sr=1", "https://x.example/?st=30&sp=2&sr=1"),
        ("https://x.example/v?id=5&expires=soon&policy=x", "https://x.example/v?id=5&expires=soon&policy=x"),
        ("https://x.example/v?a=%2F&b=+&c", "https://x.example/v?a=%2F&b=+&c"),
        ("https://user:word@x.example/v", "https://x.example/v"),
    ],
)
def test_what_is_no_signature_belongs_to_the_identity(url: str, identity: str) -> None:
    assert identity_of_url(url) == identity


@pytest.mark.parametrize(
    "url",
    [
        "https://api.segmind.com",
        "https://api.example/dream-machine/v1/",
        "http://localhost:8801",
        "http://127.9.9.9/v1",
        "http://[::1]:8801",
        "https://10.0.0.5:8443",
    ],
)
def test_a_base_url_may_be_https_anywhere_and_http_on_this_machine(url: str) -> None:
    assert check_base_url(url) is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://api.segmind.com", "plain http"),
        ("http://10.0.0.5", "plain http"),
        ("http://localhost.example", "plain http"),
        ("http://0.0.0.0", "plain http"),
        ("ftp://x.example", "http or https"),
        ("api.segmind.com", "http or https"),
        ("https://", "http or https"),
        ("https://x.example:99999", "http or https"),
        ("https://user:word@x.example", "user or password"),
        ("https://@x.example", "user or password"),
        ("https://x.example?key=abc", "query"),
        ("https://x.example/?", "query"),
        ("https://x.example/#a", "fragment"),
        ("https://x.example /", "spaces"),
        ("https://x.exa\nmple", "spaces"),
        ("http://localhost\\@evil.example", "backslashes"),
    ],
)
def test_other_base_urls_are_refused_with_the_reason(url: str, reason: str) -> None:
    problem = check_base_url(url)
    assert problem is not None
    assert reason in problem
    assert "word" not in problem.replace("password", "")
    assert "abc" not in problem


def test_a_request_url_may_have_a_query() -> None:
    assert check_request_url("http://10.0.0.1/v1?limit=5") is None
    assert check_request_url("http://user@10.0.0.1/v1?limit=5") is not None


PRIVATE = [
    *["0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1"],
    *["192.0.0.1", "192.0.0.8", "192.88.99.1", "3fff::1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"],
    *["::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1"],
    *["::ffff:127.0.0.1", "::ffff:8.8.8.8", "2002:7f00:1::", "2002:a00:1::", "64:ff9b::7f00:1", "64:ff9b::a00:1"],
]


@pytest.mark.parametrize("address", PRIVATE)
def test_no_download_goes_to_an_address_that_is_not_public(address: str) -> None:
    assert check_address(address, loopback_allowed=False) is not None


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_downloads_go_to_public_addresses(address: str) -> None:
    assert check_address(address, loopback_allowed=False) is None


LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]


@pytest.mark.parametrize("address", [*PRIVATE, *LOOPBACK[1:2]])
def test_allowing_loopback_allows_nothing_else(address: str) -> None:
    assert (check_address(address, loopback_allowed=True) is None) == (address in LOOPBACK)


def test_what_is_no_address_is_none() -> None:
    assert check_address("localhost", loopback_allowed=True) is not None


@pytest.mark.parametrize(
    ("url", "came_from", "goes"),
    [
        ("https://cdn.example/a", None, True),
        ("http://cdn.example/a", None, True),
        ("http://cdn.example/a", "http://x.example/", True),
        ("https://cdn.example/a", "http://x.example/", True),
        ("http://cdn.example/a", "https://x.example/", False),
        ("http://127.0.0.1/a", None, False),
        ("http://localhost/a", None, False),
        ("https://user@cdn.example/a", None, False),
        ("file:///etc/passwd", None, False),
        ("data:text/plain,x", None, False),
    ],
)
def test_each_hop_of_a_download_is_looked_at(url: str, came_from: str | None, goes: bool) -> None:  # noqa: FBT001
    assert (check_hop(url, came_from=came_from, loopback_allowed=False) is None) == goes


def test_a_loopback_hop_is_for_those_who_may() -> None:
    assert check_hop("http://localhost:80/", came_from=None, loopback_allowed=True) is None
    assert check_hop("http://[::1]:80/", came_from=None, loopback_allowed=True) is None
    assert check_hop("http://10.0.0.1/", came_from=None, loopback_allowed=True) is not None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost.example", False),
        ("10.0.0.1", False),
        ("", False),
        ("0.0.0.0", False),
    ],
)
def test_this_machine_has_few_names(host: str, loopback: bool) -> None:  # noqa: FBT001
    assert is_loopback_host(host) == loopback


@pytest.mark.parametrize("url", ["//user:secret@example.com/a.mp4?sig=secret", "//[::1]/a.mp4#secret"])
def test_a_url_without_a_scheme_is_shown_and_refused_like_any_other(url: str) -> None:
    assert "secret" not in without_query(url)
    assert without_query(url).endswith("/a.mp4")
    assert check_request_url(url) is not None


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://shop.s3.eu-central-1.amazonaws.com/day%201/a.mp4?X-Amz-Signature=1", "s3://shop/day 1/a.mp4"),
        ("http://127.0.0.1:9000/shop/a%2Bb.mp4?X-Amz-Signature=1", "s3://shop/a+b.mp4"),
        ("https://storage.googleapis.com/shop/a.mp4?X-Goog-Signature=1", "gs://shop/a.mp4"),
        ("https://studio.blob.core.windows.net/shop/a.mp4?sig=1", "az://shop/a.mp4"),
        ("https://studio.blob.core.windows.net/shop/a.mp4?sig=1", "abfss://shop@studio.dfs.core.windows.net/a.mp4"),
    ],
)
def test_a_signed_url_is_known_as_its_object(url: str, stored: str) -> None:
    assert is_signed_for(url, stored)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example.com/day/a.mp4",
        "https://shop.example.com/b.mp4?x=/a.mp4",
        "https://other.example.com/a.mp4",
        "https://workshop.example.com/a.mp4",
        "s3://shop/a.mp4",
        "https://[x/a.mp4",
    ],
)
def test_another_url_is_not_taken_for_an_object(url: str) -> None:
    assert not is_signed_for(url, "s3://shop/a.mp4")


@pytest.mark.parametrize(
    ("url", "identity"),
    [("S3://Shop/A?b#c", "s3://Shop/A?b#c"), ("gcs://shop/a", "gs://shop/a"), ("abfs://shop/a", "az://shop/a")],
)
def test_an_object_is_known_by_its_bucket_and_name_letter_by_letter(url: str, identity: str) -> None:
    assert identity_of_url(url) == identity
    assert without_query(url) == cut(url) == url
