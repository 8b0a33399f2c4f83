"""Many files on their way to their names at one moment: each is put in place, and each hears of its own trouble."""

import asyncio
from pathlib import Path

from batchmod.runner.placing import Placer


def part(folder: Path, name: str) -> Path:
    made = folder / f"{name}.part"
    made.write_bytes(name.encode())
    return made


async def put(placer: Placer, folder: Path, name: str, target: str) -> type | None:
    try:
        await placer.put(part(folder, name), folder / target, durable=False)
    except OSError as error:
        return type(error)
    return None


def test_many_files_are_put_in_place_and_two_of_one_name_are_told_apart(tmp_path: Path) -> None:
    async def run() -> list[type | None]:
        placer = Placer()
        names = [*((str(number), f"videos/{number}.mp4") for number in range(40)), ("twin", "videos/7.mp4")]
        found = await asyncio.gather(*(put(placer, tmp_path, *name) for name in names))
        return [*found, await put(placer, tmp_path, "late", "videos/late.mp4")]

    found = asyncio.run(run())

    assert found == [*[None] * 40, FileExistsError, None]
    assert {each.stem: each.read_text() for each in (tmp_path / "videos").iterdir()} == {
        **{str(number): str(number) for number in range(40)},
        "late": "late",
    }


def test_a_job_that_is_broken_off_leaves_the_others_their_files(tmp_path: Path) -> None:
    async def run() -> None:
        placer = Placer()
        jobs = [asyncio.create_task(put(placer, tmp_path, str(number), f"{number}.mp4")) for number in range(8)]
        await asyncio.sleep(0)
        jobs[3].cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        assert jobs[3].cancelled()
        assert await put(placer, tmp_path, "next", "next.mp4") is None

    asyncio.run(run())

    there = {each.name for each in tmp_path.glob("*.mp4")}
    assert there >= {*(f"{number}.mp4" for number in range(8) if number != 3), "next.mp4"}


def test_whatever_breaks_a_trip_is_told_to_all_who_went_with_it(tmp_path: Path) -> None:
    async def run() -> list[type]:
        placer = Placer()
        targets = (tmp_path / "no\0name.mp4", tmp_path / "b.mp4")
        puts = (placer.put(part(tmp_path, each.name[-5]), each, durable=True) for each in targets)
        return [type(each) for each in await asyncio.gather(*puts, return_exceptions=True)]

    assert asyncio.run(asyncio.wait_for(run(), 10)) == [ValueError, ValueError]
