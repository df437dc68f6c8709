"""docker-compose.yml and the Dockerfile say what they must. No container is started: CI may have none."""

import importlib
import pkgutil
import re
from typing import Any

import pytest
import yaml

import tasks
import workflows
from tests.house.project import ROOT
from understudy.env import describe
from understudy.settings import EnvSettings, Settings, load

COMPOSE_FILE = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE)
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES = sorted(COMPOSE["services"])
#: The services that run this project's own image.
OURS = [name for name in SERVICES if COMPOSE["services"][name]["image"] == "understudy"]
WORKERS = [name for name in OURS if COMPOSE["services"][name]["command"][0] == "worker"]
#: What they need before they start.
NEEDED = ("mailpit", "postgres", "valkey")


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


def test_the_services_are_those_that_everything_needs() -> None:
    assert sorted({*SERVICES} - {*OURS}) == sorted(NEEDED)
    assert {*OURS} == {"scheduler", *WORKERS}
    assert len(WORKERS) > 1
    assert service("scheduler")["command"] == ["scheduler"]
    assert service("scheduler")["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", OURS)
def test_ours_start_when_what_they_need_is_healthy(name: str) -> None:
    assert service(name)["depends_on"] == {needed: {"condition": "service_healthy"} for needed in NEEDED}


@pytest.mark.parametrize("name", WORKERS)
def test_docker_waits_longer_than_running_work_may_take_to_stop(name: str) -> None:
    grace = seconds(service(name)["stop_grace_period"])
    assert grace > load(Settings, environ=service(name)["environment"]).shutdown_timeout


def uncovered(consumed: list[str], declared: set[str]) -> tuple[set[str], set[str], set[str]]:
    """Queues that no service consumes, that no actor has, that two services share."""
    twice = {queue for queue in consumed if consumed.count(queue) > 1}
    return declared - {*consumed}, {*consumed} - declared, twice


def test_every_queue_of_an_actor_is_consumed_by_one_service_and_no_other_is_named() -> None:
    options = [service(name)["command"][1:] for name in WORKERS]
    assert [option for option, _ in options] == ["--queues"] * len(WORKERS)
    consumed = [queue for _, queues in options for queue in queues.split(",")]
    ours = {"tasks", workflows.__name__}
    actors = [actor for actor in tasks.broker.actors.values() if actor.fn.__module__.partition(".")[0] in ours]
    declared = {actor.queue_name for actor in actors}
    # A worker refuses to start for a queue that no actor has, and nobody runs the messages of one that is left out.
    assert uncovered(consumed, declared) == (set(), set(), set())


def test_a_queue_that_is_forgotten_unknown_or_shared_is_reported() -> None:
    assert uncovered(["email", "email", "old"], {"email", "new"}) == ({"new"}, {"old"}, {"email"})


def test_the_database_keeps_its_data_and_is_the_one_that_the_actors_are_told() -> None:
    postgres = service("postgres")
    (volume,) = postgres["volumes"]
    assert volume.split(":")[0] in COMPOSE["volumes"]
    assert volume.endswith(":/var/lib/postgresql/data")
    made = postgres["environment"]
    user, password, name = (made[f"POSTGRES_{what}"] for what in ("USER", "PASSWORD", "DB"))
    for ours in OURS:
        assert service(ours)["environment"]["DATABASE_URL"] == f"postgresql://{user}:{password}@postgres:5432/{name}"
    assert "ports" not in postgres  # the password stands in a file that everybody has
    assert re.search(r"^psycopg==", (ROOT / "requirements-runtime.lock").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", OURS)
def test_files_are_on_a_volume_that_the_user_of_the_image_may_write(name: str) -> None:
    root = service(name)["environment"]["FILES_ROOT"]
    assert f"files:{root}" in service(name)["volumes"]
    assert "files" in COMPOSE["volumes"]
    assert f"install --directory --owner=understudy {root}\n" in DOCKERFILE


def test_the_numbers_are_published_for_this_machine_only() -> None:
    published = [port for name in WORKERS for port in service(name).get("ports", ())]
    environment = service(WORKERS[0])["environment"]
    assert published == [f"127.0.0.1:{environment['UNDERSTUDY_METRICS_PORT']}:{environment['UNDERSTUDY_METRICS_PORT']}"]
    assert {service(name)["environment"]["UNDERSTUDY_METRICS_HOST"] for name in WORKERS} == {"0.0.0.0"}
    (publisher,) = [name for name in WORKERS if "ports" in service(name)]
    assert "deploy" not in service(publisher)  # two replicas cannot have one port of the machine


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_with_a_valid_value(name: str) -> None:
    environment = service(name)["environment"]
    classes = settings_classes()
    known = {info.name for info in describe(*classes)}
    assert environment.keys() - known == set()
    load(*classes, environ=environment)


@pytest.mark.parametrize("name", SERVICES)
def test_every_variable_is_explained(name: str) -> None:
    for variable in service(name).get("environment", ()):
        assert re.search(rf"^ +# .+\n +{variable}:", COMPOSE_FILE, re.MULTILINE), f"{variable} has no comment above it"


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
