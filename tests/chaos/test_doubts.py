"""``on_doubt="skip"`` and a worker process that kills itself (P3): before the body nothing is in doubt, then all is."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.chaos.plant import Plant, Server
from understudy.errors import InDoubt
from understudy.handle import Handle

#: Where the process dies, and whether that is before the body.
CASES = {"claim:after:1": True, "turns:after:1": True, "begin:before:1": True, "settle:before:1": False}


def test_only_a_body_that_began_is_in_doubt(tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = Server(tmp_path / "server", "always")
        stack.callback(server.kill)
        server.start()
        scenes: dict[str, tuple[Plant, Handle]] = {}
        for number, point in enumerate(CASES):
            stage = Plant(tmp_path / str(number), server=server)
            stack.callback(stage.close)
            sent = stage.send("guarded", "target")
            environment = {"CHAOS_FAILPOINTS": point, "CHAOS_TARGET": sent.id, "CHAOS_FLAGS": str(stage.directory)}
            stage.worker(threads=1, module="tests.chaos.failpoints", environment=environment)
            scenes[point] = (stage, sent)
        for point, (stage, sent) in scenes.items():
            stage.wait_for_all([sent])
            effects = stage.effects()
            assert effects[f"killed {point.rpartition(':')[0].replace(':', '-')}"] == 1, "it died where it should"
            assert effects["target runs"] == 1, point
            if CASES[point]:
                assert sent.get() == "target", point
            else:
                assert isinstance(sent.result, InDoubt), point
