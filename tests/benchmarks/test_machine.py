from benchmarks.machine import describe


def test_a_reader_learns_of_machine_server_and_versions() -> None:
    facts = describe("everysec")
    assert "appendfsync everysec" in facts["Server"]
    assert "dramatiq 2" in facts["Libraries"]
    assert "no process is bound to a core" in facts["Cores"]
    assert facts["Python"].split()[1].startswith("3.")
    assert all(facts.values())
