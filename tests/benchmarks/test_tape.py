from pathlib import Path

from benchmarks.tape import Tape


def test_a_reader_finds_each_record_once_and_in_order(tmp_path: Path) -> None:
    writer, reader = Tape(tmp_path / "tape", 10), Tape(tmp_path / "tape", 10)
    assert reader.new() == []
    writer.hit(0)
    writer.hit(7)
    found = reader.new()
    assert [index for index, _ in found] == [0, 7]
    assert found[0][1] <= found[1][1]
    assert reader.new() == []
    writer.hit(3)
    assert [index for index, _ in reader.new()] == [3]


def test_beyond_its_capacity_nothing_is_noted(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "tape", 2)
    for index in range(5):
        tape.hit(index)
    assert [index for index, _ in tape.new()] == [0, 1]
    assert (tmp_path / "tape").stat().st_size == 32


def test_the_file_stays_when_a_tape_is_closed(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "tape", 2)
    tape.hit(1)
    tape.close()
    assert [index for index, _ in Tape(tmp_path / "tape", 2).new()] == [1]
