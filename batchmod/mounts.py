"""Whether a path lies on a file system across a network, where neither SQLite nor locks can be trusted."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NETWORK: Final = re.compile(
    "9p|acfs|afpfs|k?afs|beegfs|ceph|cifs|coda|davfs|ftp|gfs2|glusterfs|gpfs|lustre|ncp(fs)?|nfs.*|ocfs2|orangefs|panfs|"
    "pvfs2|smb.*|webdav|wekafs"
)
_NETWORK_FUSE: Final = re.compile(
    "blobfuse2?|ceph(-fuse)?|curlftpfs|davfs2?|gcsfuse|glusterfs|goofys|gvfsd-fuse|juicefs|(mount|mountpoint)-s3|rclone|"
    "s3fs|seaweedfs|smbnetfs|sshfs|weed"
)
_MAC_LINE: Final = re.compile(r"^(?P<source>.+?) on (?P<point>/.*) \((?P<kind>\w+)[,)]")
_DRIVE_REMOTE: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """A file system and where it is seen."""

    point: str
    kind: str
    source: str = ""
    options: str = ""


def mounts_of_linux(text: str) -> list[Mount]:
    """The mounts in a text of the form of /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    return [mount for line in text.splitlines() if (mount := _mount_of_linux(line)) is not None]


def _mount_of_linux(line: str) -> Mount | None:
    before, dash, after = line.partition(" - ")
    head, tail = before.split(" "), after.split(" ")
    if not dash or len(head) < 6 or len(tail) < 3:  # noqa: PLR2004 - the fields that every line has
        return None
    return Mount(point=_plain(head[4]), kind=tail[0], source=_plain(tail[1]), options=tail[2])


def _plain(field: str) -> str:
    r"""A field without its escapes: space, tab, newline and backslash stand there as `\040` and so on."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def mounts_of_mac(text: str) -> list[Mount]:
    """The mounts in what `mount` prints on macOS."""
    found = (_MAC_LINE.match(line) for line in text.splitlines())
    return [Mount(point=each["point"], kind=each["kind"], source=each["source"]) for each in found if each]


def network_kind(path: str, mounts: Iterable[Mount]) -> str | None:
    """The name of the network file system that an absolute path, free of links, lies on; None on any other."""
    above = [mount for mount in mounts if _is_under(path, mount.point)]
    if not above:
        return None
    # Of mounts at one point the last hides the others.
    nearest = max(enumerate(above), key=lambda item: (len(item[1].point), item[0]))[1]
    return nearest.kind if _is_network(nearest) else None


def _is_under(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _is_network(mount: Mount) -> bool:
    kind, _, inner = mount.kind.partition(".")
    if kind == "9p" and "rfdno=" in mount.options:  # the own disk of a gVisor sandbox, which nobody else writes to
        return False
    if kind == "fuse":
        return bool(_NETWORK_FUSE.fullmatch(inner)) or ":/" in mount.source
    return bool(_NETWORK.fullmatch(kind))


def network_file_system(path: Path) -> str | None:
    """The kind of network file system under `path`, which need not be there yet; None: a local or unknown one."""
    place = os.path.realpath(path)
    if sys.platform == "win32":
        return _network_drive(place)
    try:
        if sys.platform == "darwin":
            text = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=10, check=True).stdout
            return network_kind(place, mounts_of_mac(text))
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, subprocess.SubprocessError):
        return None
    return network_kind(place, mounts_of_linux(text))


def _network_drive(place: str) -> str | None:
    """Windows: a UNC path, or a letter that stands for one."""
    import ctypes

    if place.startswith("\\\\") and not place.startswith("\\\\?\\"):
        return "smb"
    windows = getattr(ctypes, "windll", None)
    drive = os.path.splitdrive(place)[0] + "\\"
    return "smb" if windows is not None and windows.kernel32.GetDriveTypeW(drive) == _DRIVE_REMOTE else None
