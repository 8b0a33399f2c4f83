"""Which providers can be asked, where and with which key: the one reader of the environment."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

from batchmod import files, index, providers, sources
from batchmod.app.homes import cache_folder, index_file
from batchmod.checkpoint import FILE_NAME, Checkpoint
from batchmod.clock import now
from batchmod.errors import MissingExtra, MissingKey, RecordRefused, UsageError
from batchmod.model import Claim, Delivery, Endpoints, ProviderFacts, Work
from batchmod.providers.base import Courier, Executor, Provider, Secret
from batchmod.runner import Gates
from batchmod.urls import check_base_url, origin_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """The providers as this environment reaches them."""

    environ: Mapping[str, str]
    key_variables: Mapping[str, str] = field(default_factory=dict)
    """Provider → the variable its key is in, where it is another than the provider's own."""
    named_keys: tuple[str, ...] = ()
    """What the command line names as variables of keys, for any of its manifests."""
    gates: Gates = field(default_factory=Gates)
    """The paces of the providers, for all manifests of a command."""

    def facts(self, name: str) -> ProviderFacts:
        """A provider's facts. Raises UsageError for a name that is none."""
        try:
            return providers.facts(name)
        except KeyError:
            raise UsageError(f"'{name}' is not a provider; there are {', '.join(providers.NAMES)}") from None

    def endpoints(self, name: str) -> Endpoints:
        """Where a hosted provider is asked. Raises UsageError for a base URL that must not be."""
        found = providers.endpoints(self.facts(name), self.environ, check_base_url)
        if isinstance(found, str):
            raise UsageError(found)
        return found

    def origin(self, name: str) -> str:
        """The origin that enters jobs; empty for the embedded engine."""
        return origin_of(self.endpoints(name).api) if self.facts(name).hosted else ""

    def key(self, name: str) -> str | None:
        """A provider's key, if it is set."""
        variable = self.key_variable(name)
        return (self.environ.get(variable, "").strip() or None) if variable else None

    def key_variable(self, name: str) -> str | None:
        """The variable of the environment that holds a provider's key; None where it needs none."""
        return self.key_variables.get(name) or self.facts(name).key_env

    def require(self, name: str) -> None:
        """Raise MissingKey or MissingExtra where a provider could not be asked now."""
        facts = self.facts(name)
        if facts.hosted and self.key(name) is None:
            raise MissingKey(f"{name} needs its key in the environment: export {self.key_variable(name)}=…")
        if not facts.hosted and not engine_installed():
            raise MissingExtra(
                "the embedded engine is not installed. Either install it: pip install 'batchmod[local]'; "
                f"or name a hosted provider: --provider {' or '.join(providers.HOSTED)}"
            )

    def open(
        self,
        name: str,
        origin: str,
        *,
        record: Checkpoint,
        scratch: Path,
        engine: Executor,
        through: str | None = None,
        courier: Courier | None = None,
    ) -> Provider | None:
        """A provider at the origin its works were sent to; None where its key is not set.

        `through`: where in a store the engine's workers leave outputs that are too large to carry.
        """
        facts = self.facts(name)
        if not facts.hosted:
            return providers.open_local(executor=engine, scratch=scratch, through=through)
        key, endpoints = self.key(name), self._endpoints_at(name, origin)
        if key is None or endpoints is None:
            return None
        salt, shelf = _salt(record), Shelf(record=record, provider=name)
        secret = Secret(value=key, variable=str(self.key_variable(name)))
        return providers.open_hosted(
            name, endpoints=endpoints, key=secret, salt=salt, shelf=shelf, scratch=scratch, courier=courier
        )

    def elsewhere(self, record: Checkpoint | None) -> dict[str, Claim]:
        """job_key → what other output folders of this user have paid for, or are paying for."""
        try:
            place = index_file(self.environ)
        except UsageError:  # a plan may be looked at; a paid run is refused when it opens the index
            return {}
        return index.elsewhere(place, record.fact("folder_id") if record else None)

    def open_index(self, record: Checkpoint, folder: Path) -> index.Index:
        """The index, told what this folder's record says; a copy of a folder gets an id of its own."""
        place = index_file(self.environ)
        folder_id = record.fact("folder_id") or str(folder)
        before = index.folder_of(place, folder_id)
        if before is not None and not is_same_place(Path(before), folder) and _still_there(Path(before), folder_id):
            salt, folder_id = _salt(record), uuid.uuid4().hex
            record.set_facts({"folder_id": folder_id, "account_salt": salt})
        opened = index.Index.open(place, folder=folder, folder_id=folder_id)
        if not record.is_indexed(opened.standing()):
            opened.rebuild(self._held(record))
        record.set_facts({"indexed": ""})  # until this run has ended, and has told it everything
        return opened

    def _held(self, record: Checkpoint) -> Iterator[tuple[Work, str | None]]:
        """Of each key the work that holds its claim, and where its output is."""
        hosted = (work for work in record.works_by_key() if self.facts(work.provider).hosted)
        for _, works in groupby(hosted, key=lambda work: work.job_key):
            held = max(works, key=lambda work: (index.hold(work), work.work_id))
            yield held, _output(record.deliveries_of(held.work_id))

    def _endpoints_at(self, name: str, origin: str) -> Endpoints | None:
        """Where a work is asked that was sent to this origin: nowhere else (rules: money 6).

        None for an origin that no key may go to, such as plain http to another machine: a record may be somebody
        else's.
        """
        configured = self.endpoints(name)
        if origin_of(configured.api) == origin:
            return configured
        return providers.endpoints_at(self.facts(name), origin) if check_base_url(origin) is None else None

    def key_names(self) -> tuple[str, ...]:
        """The variables that hold keys: no worker has them, and nobody's program."""
        own = (providers.facts(name).key_env for name in providers.NAMES)
        found = (*own, *self.key_variables.values(), *self.named_keys)
        return tuple(name for name in found if name)


def _salt(record: Checkpoint) -> str:
    """What the hashes of this record's keys were made with: it stays when the folder gets another id."""
    return record.fact("account_salt") or record.fact("folder_id") or ""


def is_same_place(one: Path, other: Path) -> bool:
    """Whether two names are one folder: a link, or a disk that is mounted twice, is no copy."""
    try:
        return one == other or one.samefile(other)
    except OSError:
        return False


def _still_there(folder: Path, folder_id: str) -> bool:
    """Whether a folder with this very id stands at its old place: then the other one is a copy."""
    try:
        with Checkpoint.look_at(folder / FILE_NAME) as record:
            return record.fact("folder_id") == folder_id
    except RecordRefused:
        return False


def _output(deliveries: Iterable[Delivery]) -> str | None:
    return next((delivery.path for delivery in deliveries if delivery.delivered), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shelf:
    """What is already uploaded, kept in the record."""

    record: Checkpoint
    provider: str

    def recall(self, origin: str, sha256: str, *, since: float) -> str | None:
        """The file's URL there, if it is known and not too old."""
        return self.record.uploaded(self.provider, origin, sha256, since=since)

    def remember(self, origin: str, sha256: str, url: str) -> None:
        """Keep a file's URL."""
        self.record.remember_upload(self.provider, origin, sha256, url=url, at=now())

    def forget(self, origin: str, sha256: str) -> None:
        """A file's URL is of no use any more."""
        self.record.forget_upload(self.provider, origin, sha256)


def engine_installed() -> bool:
    """Whether the `local` extra is there."""
    return all(find_spec(name) is not None for name in ("cv2", "numba"))


def identities(environ: Mapping[str, str]) -> files.Identities:
    """Content hashes, remembered in the user's cache folder."""
    folder = cache_folder(environ)
    return files.Identities(None if folder is None else folder / "identities.json")


def seen(environ: Mapping[str, str]) -> sources.Seen:
    """What looking at clips showed, remembered in the user's cache folder."""
    folder = cache_folder(environ)
    return sources.Seen(None if folder is None else folder / "seen.json")
