"""docker-compose.yml and the Dockerfile say what they must. No container is started: CI may have none."""

import importlib
import pkgutil
import re
from typing import Any

import pytest
import yaml

import tasks
from tests.house.project import ROOT
from understudy.env import describe
from understudy.settings import EnvSettings, Settings, load

COMPOSE_FILE = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE)
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES = sorted(COMPOSE["services"])
#: The services that run this project's own image.
OURS = ("scheduler", "worker")


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


def seconds(duration: str) -> float:
    parts = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration)
    assert parts is not None, duration
    return 60 * int(parts[1] or 0) + int(parts[2] or 0)


def settings_classes() -> list[type[EnvSettings]]:
    """Every settings class there is, also those of the adapters, so that their names count as known."""
    for module in pkgutil.walk_packages(tasks.__path__, "tasks."):
        if module.name.startswith("tasks.adapters"):
            importlib.import_module(module.name)

    def below(cls: type[EnvSettings]) -> list[type[EnvSettings]]:
        found = [deeper for child in cls.__subclasses__() for deeper in (child, *below(child))]
        return [cls for cls in found if cls.__module__.split(".")[0] in {"understudy", "tasks"}]

    return below(EnvSettings)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_and_an_init(name: str) -> None:
    check = service(name)["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert seconds(check["timeout"]) < seconds(check["interval"])
    assert service(name)["init"] is True


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in OURS])
def test_every_foreign_image_is_pinned(name: str) -> None:
    assert re.search(r":v?\d+\.\d+[\w.-]*$", service(name)["image"])


def test_the_server_writes_an_aof_and_never_evicts() -> None:
    words = service("valkey")["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] in {"everysec", "always"}
    assert options["--maxmemory-policy"] == "noeviction"
    (volume,) = service("valkey")["volumes"]
    assert volume.endswith(":/data")
    assert volume.split(":")[0] in COMPOSE["volumes"]


@pytest.mark.parametrize("name", OURS)
def test_two_of_each_start_when_what_they_need_is_healthy(name: str) -> None:
    worker = service(name)
    assert worker["command"] == [name]
    assert worker["deploy"]["replicas"] == 2
    assert worker["depends_on"] == {name: {"condition": "service_healthy"} for name in ("valkey", "mailpit")}


def test_docker_waits_longer_than_running_work_may_take_to_stop() -> None:
    grace = seconds(service("worker")["stop_grace_period"])
    assert grace > load(Settings, environ=service("worker")["environment"]).shutdown_timeout


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_with_a_valid_value(name: str) -> None:
    environment = service(name)["environment"]
    classes = settings_classes()
    known = {info.name for info in describe(*classes)}
    assert environment.keys() - known == set()
    load(*classes, environ=environment)


def test_every_group_of_variables_is_explained() -> None:
    for name in ("REDIS_URL", "LOG_LEVEL", "UNDERSTUDY_SHUTDOWN_TIMEOUT", "UNDERSTUDY_SCHEDULER_LEASE", "SMTP_HOST"):
        assert re.search(rf"^ +# .+\n +{name}:", COMPOSE_FILE, re.MULTILINE), f"{name} has no comment above it"


def test_the_image_runs_as_nobody_in_particular_and_stops_on_sigterm() -> None:
    final = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.search(r"^USER (?!root)\w+$", final, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in final
    assert "PYTHONUNBUFFERED=1" in final
    assert 'ENTRYPOINT ["understudy"]' in final


def test_the_image_installs_hashed_packages_only_and_builds_nothing_in_its_last_stage() -> None:
    final = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert not re.search(r"pip|apt-get|gcc", re.sub(r"^#.*$", "", final, flags=re.MULTILINE))
    installs = re.findall(r"pip\S* (?:--python \S+ )?install [^\n]*", DOCKERFILE)
    assert len(installs) == 3
    assert all("--require-hashes" in line or "--no-deps --no-index" in line for line in installs)


def test_what_the_image_copies_is_sent_to_the_builder() -> None:
    sent = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    assert {name for line in copies for name in line.split()} == sent
    assert all((ROOT / name).exists() for name in sent)
