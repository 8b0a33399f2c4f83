"""Who owns a folder: locks, leases on networks, epochs in the record, and room for what is paid for."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from batchmod import checkpoint, lease, mounts
from batchmod.app import owning
from batchmod.app.room import Room
from batchmod.checkpoint import Checkpoint
from batchmod.errors import FolderInUse, StoppedEarly
from batchmod.model import Status
from tests import given
from tests.disks import small_disk
from tests.servers.clips import Clip
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Shoot, bare_environment, remote_rows, shoot, write_clip, write_manifest

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def until(true: Callable[[], object], *, seconds: float = 15.0) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


MOUNTINFO = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 27 0:40 / /mnt/share rw,relatime shared:7 master:1 - nfs4 nas:/vol/share rw,vers=4.2,addr=10.0.0.9
31 30 254:1 / /mnt/share/scratch rw - xfs /dev/vdb rw
32 27 0:41 / /mnt/my\040films rw - cifs //nas/my\040films rw,vers=3.1.1
33 27 0:40 /deep/folder /srv/bound rw - nfs4 nas:/vol/share rw
34 27 254:0 /local /mnt/share/bound rw - ext4 /dev/vda rw
35 27 0:50 / /home/me/remote rw - fuse.sshfs me@render:/ rw,user_id=1000
36 27 0:51 / /mnt/dav rw - fuse https://dav.example.com/films rw,user_id=1000
37 27 0:52 / /mnt/ntfs rw - fuseblk /dev/sdc1 rw
38 27 0:53 / /mnt/pool rw - fuse.mergerfs disks rw
39 27 0:54 / /mnt/c rw,noatime - 9p C:\134 rw,aname=drvfs;path=C:\134,trans=fd,rfd=5,wfd=5
40 27 0:55 / /sandbox rw - 9p none rw,trans=fd,rfdno=4,wfdno=4,aname=/,cache=remote_revalidating
41 27 0:56 / /twice rw - nfs nas:/old rw
42 27 0:57 / /twice rw - tmpfs tmpfs rw
43 27 0:58 / /odd\134040name rw - nfs nas:/odd rw
a line that is none
"""
ON = {
    "/": None,
    "/home/me/batch": None,
    "/mnt/share": "nfs4",
    "/mnt/share/autumn/videos": "nfs4",
    "/mnt/shared": None,
    "/mnt/share/scratch/autumn": None,
    "/mnt/my films/autumn": "cifs",
    "/srv/bound": "nfs4",
    "/mnt/share/bound/x": None,
    "/home/me/remote/a/b": "fuse.sshfs",
    "/mnt/dav/films": "fuse",
    "/mnt/ntfs/films": None,
    "/mnt/pool/films": None,
    "/mnt/c/Users/me": "9p",
    "/sandbox/batch": None,
    "/twice/x": None,
    r"/odd\040name/x": "nfs",
}
KINDS = {
    "nfs": True, "nfs4": True, "cifs": True, "smb3": True, "smbfs": True, "9p": True, "afs": True, "ceph": True,
    "lustre": True, "glusterfs": True, "beegfs": True, "davfs": True, "fuse.s3fs": True, "fuse.rclone": True,
    "fuse.glusterfs": True, "fuse.gcsfuse": True, "fuse.ceph": True, "fuse.mount-s3": True,
    "ext4": False, "xfs": False, "btrfs": False, "zfs": False, "overlay": False, "tmpfs": False, "apfs": False,
    "fuse": False, "fuse.encfs": False, "virtiofs": False, "ecryptfs": False, "vfat": False,
}  # fmt: skip


@pytest.mark.parametrize(("path", "kind"), ON.items(), ids=ON)
def test_the_nearest_mount_says_what_a_folder_is_on(path: str, kind: str | None) -> None:
    assert mounts.network_kind(path, mounts.mounts_of_linux(MOUNTINFO)) == kind


@pytest.mark.parametrize(("kind", "network"), KINDS.items(), ids=KINDS)
def test_file_systems_across_a_network_are_known_by_name(kind: str, *, network: bool) -> None:
    found = mounts.network_kind("/mnt/x/y", [mounts.Mount(point="/mnt/x", kind=kind, source="disk")])

    assert found == (kind if network else None)


def test_what_mount_prints_on_a_mac_is_understood() -> None:
    text = (
        "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n"
        "//me@nas._smb._tcp.local/films on /Volumes/My films (smbfs, nodev, nosuid, mounted by me)\n"
        "nas:/vol on /Volumes/vol (nfs, asynchronous)\n"
    )
    known = mounts.mounts_of_mac(text)
    found = [mounts.network_kind(path, known) for path in ("/Users/me", "/Volumes/My films/a", "/Volumes/vol")]

    assert found == [None, "smbfs", "nfs"]


def test_nothing_is_known_of_an_empty_list() -> None:
    assert mounts.network_kind("/a", []) is None


@LINUX
def test_this_machine_answers_for_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    text = Path("/proc/self/mountinfo").read_text()
    (tmp_path / "link").symlink_to("/proc")

    assert mounts.mounts_of_linux(text)
    assert mounts.network_file_system(tmp_path / "not/there") is None
    assert mounts.network_file_system(tmp_path / "link/self") is None


ME = replace(lease.Holder.me(), host="render-1")
OTHER_HOST = replace(ME, host="render-2")
HOLDER = """
import sys
sys.path.insert(0, sys.argv[2])
from dataclasses import replace
from pathlib import Path
from batchmod import lease
me = replace(lease.Holder.me(), host=sys.argv[3])
with lease.held(Path(sys.argv[1]), me=me, terms=lease.Terms(beat_s=0.1)) as mine:
    print("held", flush=True)
    for _ in sys.stdin:
        try:
            mine.check()
            print("mine", flush=True)
        except Exception as error:
            print(error.slug, flush=True)
"""


class Other:
    """Another process that holds a lease, and says on demand whether it still does."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def asked(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return self.heard()


@contextmanager
def other(folder: Path, *, host: str = "render-1") -> Iterator[Other]:
    words = [sys.executable, "-c", HOLDER, str(folder), str(ROOT), host]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        made = Other(process)
        assert made.heard() == "held"
        try:
            yield made
        finally:
            process.kill()


def leases(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def aged(folder: Path, seconds: float) -> None:
    """Make the newest lease as old as if its holder had been silent for so long."""
    last = folder / leases(folder)[-1]
    then = time.time() - seconds
    os.utime(last, (then, then))


def test_a_lease_says_who_holds_it_and_is_given_back(tmp_path: Path) -> None:
    with lease.held(tmp_path, me=ME) as mine:
        mine.check()
        with pytest.raises(FolderInUse, match=f"process {os.getpid()} on render-1") as refused:
            lease.held(tmp_path, me=OTHER_HOST).__enter__()
    with lease.held(tmp_path, me=OTHER_HOST) as next_:
        next_.check()

    assert refused.value.exit_code == 4
    assert next_.taken_from is None
    assert leases(tmp_path) == [".batchmod.lease.000002"]


def test_a_lease_is_kept_alive_while_it_is_held(tmp_path: Path) -> None:
    with lease.held(tmp_path, me=ME, terms=lease.Terms(beat_s=0.02)) as mine:
        aged(tmp_path, 3600)

        assert until(lambda: time.time() - mine.path.stat().st_mtime < 60)


def test_of_many_who_want_a_lease_one_gets_it(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLDER, str(tmp_path), str(ROOT)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    # As if on one host each: none of them may judge another by its process.
    many = [subprocess.Popen([*words, f"host-{number}"], text=True, **pipes) for number in range(4)]  # type: ignore[call-overload]
    try:
        heard = sorted(each.stdout.readline().strip() for each in many)
    finally:
        for each in many:
            each.kill()
            each.communicate()

    assert heard == ["", "", "", "held"]


@LINUX
def test_a_lease_of_a_killed_process_is_free_at_once_on_its_host(tmp_path: Path) -> None:
    with other(tmp_path) as gone:
        gone.process.send_signal(signal.SIGKILL)
        gone.process.wait()
        with lease.held(tmp_path, me=ME) as mine:
            mine.check()

    assert str(mine.taken_from) == f"process {gone.process.pid} on render-1"


@LINUX
def test_a_process_number_that_was_given_again_is_another_process(tmp_path: Path) -> None:
    with lease.held(tmp_path, me=replace(ME, started="1")), lease.held(tmp_path, me=ME) as mine:
        mine.check()


@LINUX
@pytest.mark.parametrize("me", [OTHER_HOST, replace(ME, boot="another boot"), replace(ME, boot="")])
def test_from_elsewhere_a_killed_process_is_believed_dead_after_a_minute(tmp_path: Path, me: lease.Holder) -> None:
    with other(tmp_path) as gone:
        gone.process.kill()
        gone.process.wait()
    aged(tmp_path, 50)
    with pytest.raises(FolderInUse, match=r"last heard of 5\d s ago"), lease.held(tmp_path, me=me):
        pass
    aged(tmp_path, 70)
    with lease.held(tmp_path, me=me) as mine:
        mine.check()


@LINUX
def test_a_paused_process_keeps_its_lease_on_its_own_host(tmp_path: Path) -> None:
    with other(tmp_path) as paused:
        paused.process.send_signal(signal.SIGSTOP)
        aged(tmp_path, 3600)
        with pytest.raises(FolderInUse), lease.held(tmp_path, me=ME):
            pass
        paused.process.send_signal(signal.SIGCONT)

        assert paused.asked() == "mine"


@LINUX
def test_a_process_that_was_paused_too_long_finds_its_lease_lost(tmp_path: Path) -> None:
    with other(tmp_path) as paused:
        paused.process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)  # what it was writing is written
        aged(tmp_path, 3600)
        with lease.held(tmp_path, me=OTHER_HOST) as mine:
            paused.process.send_signal(signal.SIGCONT)
            answers = [paused.asked(), paused.asked()]
            time.sleep(0.3)  # its heart would beat three times
            mine.check()

    assert answers == ["lease_lost", "lease_lost"]
    assert mine.taken_from is not None


def test_a_lost_lease_stays_lost_when_its_successor_has_gone(tmp_path: Path) -> None:
    with lease.held(tmp_path, me=ME) as mine:
        aged(tmp_path, 3600)
        with lease.held(tmp_path, me=OTHER_HOST):
            pass
        with pytest.raises(StoppedEarly) as lost:
            mine.check()

    assert (lost.value.slug, lost.value.exit_code) == ("lease_lost", 3)
    assert leases(tmp_path) == [".batchmod.lease.000002"]


def test_numbers_are_not_given_again(tmp_path: Path) -> None:
    for _ in range(3):
        with lease.held(tmp_path, me=ME):
            pass

    assert leases(tmp_path) == [".batchmod.lease.000003"]


def test_who_looked_before_others_came_and_went_does_not_own_the_folder_beside_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = lease._make
    with ExitStack() as stack:
        first = stack.enter_context(lease.held(tmp_path, me=ME))
        aged(tmp_path, 3600)

        def slowly(path: Path, about: dict[str, object]) -> bool:
            """Between the look at the dead lease and the making of the next one, two others take the folder."""
            monkeypatch.setattr(lease, "_make", make)
            with lease.held(tmp_path, me=OTHER_HOST):
                pass
            stack.enter_context(lease.held(tmp_path, me=OTHER_HOST))
            return make(path, about)

        monkeypatch.setattr(lease, "_make", slowly)
        with pytest.raises(FolderInUse, match="render-2"), lease.held(tmp_path, me=replace(ME, host="render-3")):
            pass
        with pytest.raises(StoppedEarly):
            first.check()

        assert leases(tmp_path) == [".batchmod.lease.000003"]


def test_a_lease_in_anothers_name_is_lost(tmp_path: Path) -> None:
    with lease.held(tmp_path, me=ME) as mine:
        mine.path.write_text('{"token": "another"}')
        with pytest.raises(StoppedEarly, match="is another's"):
            mine.check()


@pytest.mark.parametrize("content", [b"", b'{"host": "ren', b"[1]", b'{"pid": "?"}'])
def test_a_lease_that_was_cut_is_somebodys_until_it_is_old(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".batchmod.lease.000004").write_bytes(content)
    with pytest.raises(FolderInUse, match="unknown host"), lease.held(tmp_path, me=ME):
        pass
    aged(tmp_path, 70)
    with lease.held(tmp_path, me=ME):
        pass

    assert leases(tmp_path) == [".batchmod.lease.000005"]


def test_a_lease_on_a_folder_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    with lease.held(folder, me=ME) as mine:
        folder.rename(tmp_path / "elsewhere")
        with pytest.raises(StoppedEarly, match="cannot be read"):
            mine.check()


def test_the_clock_of_a_host_does_not_matter(tmp_path: Path) -> None:
    """Both time stamps are the server's: a file's age is told by a file made now."""
    with lease.held(tmp_path, me=ME) as mine:
        assert abs(lease._age(mine.path)) < 5
        assert set(asdict(ME)) == {"host", "pid", "boot", "started"}


def test_a_folder_on_a_local_disk_is_locked_and_on_a_network_leased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with owning.owned(tmp_path / "local") as mine:
        mine.check()
    monkeypatch.setattr(mounts, "network_file_system", lambda _: "nfs4")
    with owning.owned(tmp_path / "share") as mine, pytest.raises(FolderInUse), owning.owned(tmp_path / "share"):
        pass

    assert leases(tmp_path / "local") == [".batchmod.lock"]
    assert leases(tmp_path / "share") == [".batchmod.lease.000001"]
    assert mine.taken_from is None


JOB = given.job("shot")


def intended(record: Checkpoint, work_id: int) -> int:
    return record.intend(work_id, body={}, at=1.0, reserved_usd=0.5, jobs=[JOB], state={})


def test_a_run_that_was_taken_over_writes_no_intent(tmp_path: Path) -> None:
    path = tmp_path / checkpoint.FILE_NAME
    with Checkpoint.open(path) as old, Checkpoint.open(path) as new:
        old.own()
        work_id = old.open_work(JOB, run_id="old").work_id
        new.own()
        with pytest.raises(StoppedEarly) as stopped:
            intended(old, work_id)
        untouched = new.work(work_id)
        intended(new, work_id)

        assert stopped.value.slug == "lease_lost"
        assert (untouched.status, untouched.attempts) == (Status.PLANNED, 0)
        assert new.work(work_id).status is Status.SUBMITTING


def test_a_run_that_was_taken_over_still_writes_down_its_receipts(tmp_path: Path) -> None:
    path = tmp_path / checkpoint.FILE_NAME
    with Checkpoint.open(path) as old, Checkpoint.open(path) as new:
        old.own()
        work_id = old.open_work(JOB, run_id="old").work_id
        attempt_id = intended(old, work_id)
        new.own()

        assert old.accept(work_id, attempt_id, request_id="r1", state={})
        assert new.work(work_id).request_id == "r1"


def test_who_never_owned_a_folder_writes_no_intent_into_it(tmp_path: Path) -> None:
    path = tmp_path / checkpoint.FILE_NAME
    with Checkpoint.open(path) as first:
        first.own()
        work_id = first.open_work(JOB, run_id="first").work_id
    with Checkpoint.open(path) as later, pytest.raises(StoppedEarly, match="taken"):
        intended(later, work_id)


def test_epochs_go_up(tmp_path: Path) -> None:
    path = tmp_path / checkpoint.FILE_NAME
    epochs = []
    for _ in range(12):
        with Checkpoint.open(path) as record:
            record.own()
            epochs.append(record.fact("epoch"))

    assert epochs == [str(number) for number in range(1, 13)]


def test_a_disk_that_is_nearly_full_takes_nothing_that_is_paid_for(tmp_path: Path) -> None:
    Room(tmp_path).check()
    with pytest.raises(StoppedEarly, match="MB left") as stopped:
        Room(tmp_path, enough_bytes=1 << 62).check()

    assert stopped.value.slug == "disk_full"
    assert not list(tmp_path.iterdir())


def test_a_folder_that_vanished_takes_nothing_that_is_paid_for(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    room = Room(folder)
    room.check()
    folder.rmdir()
    with pytest.raises(StoppedEarly, match=f"{folder} takes no files") as stopped:
        room.check()

    assert stopped.value.slug == "system"


class CountedRoom(Room):
    """A room that knows how often it was looked at."""

    looks = 0

    def check(self) -> None:
        self.looks += 1
        super().check()


def test_requests_of_one_moment_share_one_look_and_a_later_one_has_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    room, began = CountedRoom(folder), time.monotonic()
    for _ in range(200):
        room.check_now()
    assert 1 <= room.looks <= 1 + (time.monotonic() - began) / 0.02

    time.sleep(0.03)
    folder.rmdir()
    for _ in range(2):  # a look that failed counts for nobody else
        with pytest.raises(StoppedEarly, match="takes no files"):
            room.check_now()


def test_a_disk_that_was_made_read_only_takes_nothing_that_is_paid_for(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=64) as disk:
        room = Room(disk)
        room.check()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(StoppedEarly) as stopped:
            room.check()

    assert stopped.value.slug == "system"


def test_a_full_disk_is_noticed_before_anything_is_sent(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server, small_disk(tmp_path / "disk", megabytes=40) as disk:
        work = shoot(tmp_path, server, remote_rows("a", "b"), output=str(disk / "shots"))
        (disk / "film").write_bytes(b"x" * (20 << 20))
        full = work.run()
        (disk / "film").unlink()
        again = work.run()

        assert full.code == 3, full.err
        assert "MB left" in full.err
        assert (again.code, server.ledger.submits_seen, server.ledger.billed) == (0, 2, 2), again.err


def test_a_disk_that_fills_up_stops_what_is_not_sent_and_collects_what_is(tmp_path: Path) -> None:
    with (
        SegmindStandIn(queued_s=0, processing_s=600) as server,
        small_disk(tmp_path / "disk", megabytes=64) as disk,
    ):
        work = shoot(tmp_path, server, remote_rows("a", "b"), output=str(disk / "shots"))
        with running(work, "--max-in-flight", "1") as first:
            server.ledger.wait_until(lambda ledger: ledger.polls >= 1, timeout_s=20)
            (disk / "film").write_bytes(b"x" * (40 << 20))
            server.advance(600)
            _, err = first.communicate(timeout=30)

        assert first.returncode == 3, err
        assert (server.ledger.submits_seen, sorted(path.name for path in (disk / "shots/videos").iterdir())) == (
            1,
            ["a_v001.mp4"],
        )
        assert "disk_full" in (disk / "shots/run.json").read_text()


AS_IF = """
import socket, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from batchmod import mounts
share = Path(sys.argv[2])
socket.gethostname = lambda: sys.argv[3]
mounts.network_file_system = lambda path: "nfs4" if share in (path, *path.parents) else None
from batchmod.cli import main
sys.exit(main(sys.argv[4:]))
"""


@contextmanager
def process(words: list[str], environ: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """A command in a process of its own; it is gone after the block."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = subprocess.Popen(words, env=bare_environment() | environ, text=True, **pipes)  # type: ignore[call-overload]
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


@contextmanager
def running(work: Shoot, *more: str, host: str | None = None) -> Iterator["subprocess.Popen[str]"]:
    """A paid run, going on; with a host, as if its output folder were on a network that other hosts see."""
    words = ["run", str(work.manifest), "--provider", "segmind", "--yes", *PACE, *more]
    program = ["-m", "batchmod"] if host is None else ["-c", AS_IF, str(ROOT), str(work.folder), host]
    with process([sys.executable, *program, *words], work.environ) as started:
        yield started


def test_if_locked_wait_goes_on_when_the_folder_is_free(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=600) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        with running(work) as first:
            server.ledger.wait_until(lambda ledger: ledger.polls >= 1, timeout_s=20)
            with running(work, "--if-locked", "wait") as second:
                with pytest.raises(subprocess.TimeoutExpired):
                    second.wait(timeout=2.5)
                server.advance(600)
                _, err = second.communicate(timeout=30)
            first.communicate(timeout=30)

        assert (first.returncode, second.returncode) == (0, 0), err
        assert (server.ledger.submits_seen, work.outputs()) == (1, ["a_v001.mp4"])


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@LINUX
def test_when_the_main_process_alone_is_killed_its_workers_end_and_the_folder_is_free(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", Clip(width=96, height=64, frames=48, fps=24))
    rows = [{"id": name, "video_url": "a.mp4", "prompt": f"as a {name} drawing"} for name in ("pencil", "charcoal")]
    manifest = write_manifest(tmp_path / "m.yaml", rows)
    words = [sys.executable, "-m", "batchmod", "run", str(manifest)]
    environ = {"BATCHMOD_HOME": str(tmp_path / "home")}
    with process(words, environ) as killed:
        # The pool's own resource tracker is a child too: two are a tracker and a worker.
        assert until(lambda: killed.poll() is not None or len(children(killed.pid)) >= 2, seconds=30)
        workers = children(killed.pid)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        with process([*words, "--only", "nothing-of-this-name"], environ) as next_:
            _, err = next_.communicate(timeout=30)

        assert len(workers) >= 2
        assert next_.returncode == 0, err
        assert until(lambda: not any(map(is_running, workers)), seconds=5)


@LINUX
def test_a_run_that_slept_too_long_on_a_network_sends_nothing_when_it_wakes(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=600) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b"))
        state = ("--state", str(tmp_path / "state"))
        with running(work, "--max-in-flight", "1", *state, host="laptop") as slept:
            server.ledger.wait_until(lambda ledger: ledger.polls >= 1, timeout_s=20)
            slept.send_signal(signal.SIGSTOP)
            with running(work, host="desktop") as refused:
                _, in_use = refused.communicate(timeout=30)
            lease_file = next(work.folder.glob(".batchmod.lease.*"))
            os.utime(lease_file, (time.time() - 120,) * 2)
            with running(work, host="desktop") as other_run:
                server.ledger.wait_until(lambda ledger: ledger.submits_seen == 2, timeout_s=20)
                slept.send_signal(signal.SIGCONT)
                _, said = slept.communicate(timeout=30)
                server.advance(600)
                _, err = other_run.communicate(timeout=30)

        assert (refused.returncode, f"process {slept.pid} on laptop" in in_use) == (4, True), in_use
        assert (slept.returncode, "[lease_lost]" in said) == (3, True), said
        assert other_run.returncode == 0, err
        assert f"taken_over: the lease of process {slept.pid} on laptop" in err
        assert (server.ledger.submits_seen, server.ledger.billed, len(work.outputs())) == (2, 2, 2)
