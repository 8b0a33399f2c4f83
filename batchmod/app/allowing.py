"""What a manifest asks for beyond its videos, and what of it the user allows: programs, messages, secrets."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchmod import files, notices
from batchmod.app.homes import configuration_file
from batchmod.app.options import Options
from batchmod.errors import ManifestError, Place, Problem
from batchmod.manifest import VARIABLES, configuration
from batchmod.manifest.configuration import Configuration
from batchmod.model import Hook, Manifest, Notice
from batchmod.schema import Schemas
from batchmod.urls import origin_of

_HOW: Final = "say --allow-hooks, or allow it in"


@dataclass(frozen=True, kw_only=True, slots=True)
class Receiver:
    """Somebody who is told, with the key that signs what they are told; None: unsigned."""

    notice: Notice
    key: bytes | None = None

    @property
    def shown(self) -> str:
        """Where it is, for messages: paths and queries of such URLs are secrets."""
        return origin_of(self.notice.url)


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """What of a manifest's wishes is heard."""

    receivers: tuple[Receiver, ...] = ()
    hook: Hook | None = None
    program: str = ""
    """The hook's program, as a whole path."""
    secrets: frozenset[str] = frozenset()
    """The names of the variables that hold secrets of ours."""
    warnings: tuple[Problem, ...] = ()
    """What is not heard, and why."""


def configuration_of(environ: Mapping[str, str], schemas: Schemas) -> Configuration:
    """The user's configuration; an empty one where there is no file. Raises ManifestError with all its problems."""
    path = configuration_file(environ)
    if path is None:
        return Configuration()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return Configuration()
    except UnicodeDecodeError:
        raise ManifestError([configuration.not_a_text(str(path))]) from None
    except OSError as error:
        message = f"the configuration cannot be read: {(error.strerror or str(error)).lower()}"
        raise ManifestError([Problem(place=Place(file=str(path)), message=message)]) from error
    variables = {name: value for name, value in environ.items() if name.startswith(VARIABLES)}
    found, problems = configuration.read(
        text, file=str(path), schemas=schemas, schema=files.schema("config"), variables=variables
    )
    if problems:
        raise ManifestError(problems, lines={str(path): text.splitlines()})
    return found


def allowed(
    manifest: Manifest,
    path: Path,
    options: Options,
    *,
    is_file: bool,
    own: Configuration,
    environ: Mapping[str, str],
) -> Allowed:
    """What is heard of a manifest's `notify` and `on_succeeded`; nothing in a rehearsal, which nobody is told of.

    `is_file`: whether the manifest lies at `path`; one from standard input or the web lies nowhere, and is none of
    those that may start a program by their place.
    """
    if options.rehearse:
        return Allowed()
    judge = _Judge(manifest=manifest, path=path.resolve(), is_file=is_file, options=options, own=own, environ=environ)
    warnings = [*judge.hook_objections(), *judge.notice_objections()]
    hears_hook = manifest.on_succeeded is not None and not any(judge.hook_objections())
    return Allowed(
        receivers=tuple(judge.receivers()),
        hook=manifest.on_succeeded if hears_hook else None,
        program=judge.program() if hears_hook else "",
        secrets=frozenset(each.secret_env for each in (*manifest.notify, *own.notify) if each.secret_env) | own.secrets,
        warnings=tuple(
            Problem(
                place=Place(file=manifest.file), field=field, message=message, hint=hint, slug="not_heard", warning=True
            )
            for field, message, hint in warnings
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judge:
    manifest: Manifest
    path: Path
    is_file: bool
    options: Options
    own: Configuration
    environ: Mapping[str, str]

    def program(self) -> str:
        """The hook's program as a whole path: one with a `/` beside the manifest, else one of the PATH."""
        assert self.manifest.on_succeeded is not None
        named = self.manifest.on_succeeded.command[0]
        if "/" in named or os.sep in named:
            return os.path.abspath(self.path.parent / named)  # noqa: PTH100 - resolve() would follow links
        return shutil.which(named, path=self.environ.get("PATH", os.defpath)) or named

    def hook_objections(self) -> Iterator[tuple[str, str, str | None]]:
        """Why the hook is not started."""
        if self.manifest.on_succeeded is None or self.options.allow_hooks:
            return
        program = self.program()
        if not self.own.allows_program(program, manifest=str(self.path) if self.is_file else None):
            yield "on_succeeded", f"{program} is not started: nobody has allowed it", f"{_HOW} {self._file}"

    def notice_objections(self) -> Iterator[tuple[str, str, str | None]]:
        """Why somebody is not told."""
        for notice in self._wanted():
            yield from self._against(notice)

    def _against(self, notice: Notice) -> Iterator[tuple[str, str, str | None]]:
        is_own, secret = notice in self.own.notify, notice.secret_env
        where = f"{origin_of(notice.url)} is not told"
        if not (is_own or self.options.allow_hooks or self.own.allows_url(notice.url)):
            yield "notify", f"{where}: nobody has allowed it", f"{_HOW} {self._file}"
        elif secret is not None and not (is_own or secret in self.options.key_env or secret in self.own.secrets):
            hint = f"say --key-env {secret}, or name it under allow.secrets in {self._file}"
            yield "notify", f"{where}: the manifest may not read {secret}", hint
        elif secret is not None and not (value := self.environ.get(secret, "").strip()):
            yield "notify", f"{where}: {secret} is not set", f"export {secret}=whsec_…"
        elif secret is not None and notices.key_of(value) is None:
            hint = "whsec_ and base64 of 24 to 64 random bytes (docs/nightly.md makes one)"
            yield "notify", f"{where}: {secret} holds no secret of Standard Webhooks", hint

    def receivers(self) -> Iterator[Receiver]:
        """Who is told."""
        for notice in self._wanted():
            if not any(self._against(notice)):
                secret = self.environ.get(notice.secret_env, "").strip() if notice.secret_env else ""
                yield Receiver(notice=notice, key=notices.key_of(secret) if secret else None)

    def _wanted(self) -> tuple[Notice, ...]:
        return self.manifest.notify or self.own.notify

    @property
    def _file(self) -> str:
        return str(configuration_file(self.environ) or "config.yaml")
