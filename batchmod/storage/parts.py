"""A file goes to S3: in one piece, or in parts that become an object all at once."""

import asyncio
import contextlib
import mimetypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

PART_BYTES: Final = 16 * 1024**2
_MOST_PARTS: Final = 9_000
_SIDE_BY_SIDE: Final = 4


async def put_file(system: Any, path: Path, key: str, *, if_absent: bool) -> None:
    """Put a file as `bucket/key`; in memory are a few parts of it at most.

    The library's own way leaves parts under way when one fails, and these may arrive after the upload was aborted.
    """
    bucket, name, _ = system.split_path(key)
    kind, _ = mimetypes.guess_type(path.name)
    target = {"Bucket": bucket, "Key": name}
    new = {"ContentType": kind} if kind else {}
    condition = {"IfNoneMatch": "*"} if if_absent else {}
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= 2 * PART_BYTES:
            await system._call_s3("put_object", Body=file.read(), **target, **new, **condition)  # noqa: SLF001
            return
        begun = await system._call_s3("create_multipart_upload", **target, **new)  # noqa: SLF001
        upload = {**target, "UploadId": begun["UploadId"]}
        try:
            parts = await _sent(system, file, upload, size=max(PART_BYTES, size // _MOST_PARTS + 1))
            whole = {"Parts": parts}
            await system._call_s3("complete_multipart_upload", **upload, MultipartUpload=whole, **condition)  # noqa: SLF001
        except BaseException:
            with contextlib.suppress(Exception):
                await asyncio.shield(system._call_s3("abort_multipart_upload", **upload))  # noqa: SLF001
            raise


async def _sent(system: Any, file: IO[bytes], upload: dict[str, str], *, size: int) -> Sequence[dict[str, Any]]:
    """The parts as the store took them; when one fails, the others beside it are waited for."""
    parts: list[dict[str, Any]] = []
    while pieces := [piece for _ in range(_SIDE_BY_SIDE) if (piece := file.read(size))]:
        sending = (
            system._call_s3("upload_part", Body=piece, PartNumber=len(parts) + at, **upload)  # noqa: SLF001
            for at, piece in enumerate(pieces, start=1)
        )
        answers = await asyncio.gather(*sending, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            parts.append({"PartNumber": len(parts) + 1, "ETag": answer["ETag"]})
    return parts
