from benchmarks.spec import Spec


def test_a_spec_comes_back_as_it_was_sent() -> None:
    spec = Spec("stock", "unix:///x", "bench1", threads=4, watched=("a", "b"), hold=True, core=1)
    assert Spec.loads(spec.dumps()) == spec
    assert "\n" not in spec.dumps()
