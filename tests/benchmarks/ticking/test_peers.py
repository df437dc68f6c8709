"""The peers are started by a trial; here it is seen that each is there, and needs nothing of ours but its notes."""

from benchmarks.process import ROOT
from benchmarks.ticking.contenders import CONTENDERS


def test_every_peer_is_a_module_that_imports_nothing_of_ours() -> None:
    for contender in CONTENDERS[1:]:
        text = (ROOT / f"{contender.module.replace('.', '/')}.py").read_text()
        assert "understudy" not in text
        assert "from benchmarks.ticking.peers.notes import note" in text
