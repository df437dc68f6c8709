"""The plugin in projects of other people."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
    import dramatiq
    from middleware.stack import stack
    from understudy.runtime import install
    from understudy.settings import Settings, load
    settings = load(Settings)
    install(settings, middleware=stack(settings))
"""
A_TEST = """
    from understudy import actor, handle
    def test_it(broker, drain, freezer, enqueued, faults, step_worker):
        @actor
        def body(x):
            return x
        message = body.send_with_options(args=(1,), delay=5_000)
        assert drain() == 0
        freezer.tick(5)
        assert drain() == 1
        assert handle(message).get() == 1
        enqueued.assert_sent(body, 1)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.delenv("BROKER_URL", raising=False)
    return pytester


def test_an_actor_is_tested_in_an_empty_project(project: pytest.Pytester) -> None:
    project.makeconftest(CONFTEST)
    project.makepyfile(A_TEST)
    project.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)


def test_the_ini_option_names_the_brokers(project: pytest.Pytester) -> None:
    project.makeconftest(CONFTEST)
    project.makepyfile(A_TEST)
    project.makeini("[pytest]\nunderstudy_brokers = stub server")
    project.runpytest_subprocess().assert_outcomes(passed=2)


def test_a_test_that_is_marked_runs_on_those_brokers_and_is_never_skipped(project: pytest.Pytester) -> None:
    project.makeconftest(CONFTEST)
    project.makepyfile(
        """
        import pytest
        @pytest.mark.brokers("server")
        def test_it(broker):
            assert type(broker).__name__ == "RedisBroker"
        """
    )
    project.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_kind_that_does_not_exist_is_refused(project: pytest.Pytester) -> None:
    project.makeconftest(CONFTEST)
    project.makepyfile(
        """
        import pytest
        @pytest.mark.brokers("sever")
        def test_it(broker): ...
        """
    )
    result = project.runpytest_subprocess()
    assert result.ret != 0
    assert "stub or server" in result.stdout.str() + result.stderr.str()


def test_without_an_installed_broker_the_fixture_says_what_to_do(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(broker): ...")
    result = project.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    assert "conftest.py" in result.stdout.str()


def test_a_developers_server_is_never_used(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "redis://localhost:1/0")
    project.makeconftest(CONFTEST)
    project.makepyfile("def test_it():\n    import dramatiq\n    assert dramatiq.get_broker().settings.is_stub")
    project.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_project_without_the_testing_extra_is_not_disturbed() -> None:
    """pytest imports the plugin wherever Understudy is installed."""
    code = (
        "import sys\n"
        "for name in ('freezegun', 'fakeredis', 'aiosmtpd'): sys.modules[name] = None\n"
        "import understudy.testing.plugin\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
