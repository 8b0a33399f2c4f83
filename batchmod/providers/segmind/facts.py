"""Segmind as data: limits, price, where it is reached, what becomes of the clips."""

from typing import Final

from batchmod.model import Price, ProviderFacts

FACTS: Final = ProviderFacts(
    name="segmind",
    title="Luma Modify Video, as Segmind hosts it",
    hosted=True,
    key_env="SEGMIND_API_KEY",
    base_urls={
        "api": ("SEGMIND_BASE_URL", "https://api.segmind.com"),
        "upload": ("SEGMIND_UPLOAD_BASE_URL", "https://workflows-api.segmind.com"),
        "history": ("SEGMIND_HISTORY_BASE_URL", "https://api.spotprod.segmind.com"),
    },
    max_clip_s=30.0,
    longest_included=False,
    max_clip_bytes=100_000_000,
    containers=frozenset({"mp4"}),
    submits_per_minute=5.0,
    burst=8,
    typical_s=164.0,
    price=Price(
        per_second_usd=0.12,
        per_call_usd=0.60,
        note="published: $0.60 a call on average, not the rule behind it; a like service takes $0.12 a second",
    ),
    uploads=True,
    uploads_public=True,
    uploads_kept="not published",
    uploads_deletable="no way is published",
    history=True,
    output_lives="7 days",
    output_life_s=7 * 86400.0,
    privacy="prompts are stored by the service, outputs lie under a public URL",
    contract="docs.segmind.com and the vendor's Python SDK 1.3.0",
    options_schema={
        "type": "object",
        "properties": {
            "api_version": {
                "description": "v2 submits and asks; v1 blocks until the video is made, and has no id before",
                "enum": ["v1", "v2"],
            },
        },
        "additionalProperties": False,
    },
)
