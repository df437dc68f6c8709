from __future__ import annotations

import pkgutil

import pytest

import workflows
from understudy import actor
from understudy.brokers.settlement import SettlingBroker

from .planted import greet, planted
from .subjects import of_actor, registered_actors, subjects


def test_every_actor_of_the_product_is_a_subject() -> None:
    found = {subject.name: subject for subject in subjects()}
    assert {"send_bulk_emails", "send_email"} <= set(found)
    assert found["send_email"].kind == "actor"
    assert found["send_email"].declared.expected_duration == 0.5


def test_every_flow_of_the_product_is_a_subject() -> None:
    found = {subject.name: subject for subject in subjects()}
    flow = found["workflow:user_onboarding"]
    assert flow.kind == "workflow"
    assert "send_welcome" in [body.actor_name for body in flow.actors]


def test_every_package_of_workflows_is_a_flow() -> None:
    packages = [module.name for module in pkgutil.iter_modules(workflows.__path__) if module.ispkg]
    assert sorted(flow.name for flow in workflows.FLOWS) == sorted(packages), "name each flow in workflows.FLOWS"


def test_every_periodic_job_of_the_product_is_a_subject_beside_its_actor() -> None:
    found = {subject.name: subject for subject in subjects()}
    job, its_actor = found["periodic:mail_digest"], found["mail_digest"]
    assert (job.kind, its_actor.kind) == ("periodic", "actor")
    assert job.actors == its_actor.actors


@pytest.mark.brokers("stub")
def test_actors_that_tests_declare_for_themselves_are_not(broker: SettlingBroker) -> None:
    actor(broker=broker)(greet)
    assert "greet" in broker.actors
    assert "greet" not in [subject.name for subject in registered_actors()]


@pytest.mark.brokers("stub")
def test_an_actor_is_a_subject_with_what_it_declares(broker: SettlingBroker) -> None:
    subject = of_actor(actor(broker=broker, actor_name="welcome", pure=True)(greet))
    assert (subject.name, subject.function, subject.declared.pure) == ("welcome", greet, True)
    assert [body.actor_name for body in subject.actors] == ["welcome"]


def test_subjects_come_from_every_provider_in_the_order_of_their_names() -> None:
    job, flow = planted(greet, kind="periodic", name="periodic:greet"), planted(greet, kind="workflow", name="a")
    assert subjects([lambda: [job], lambda: [flow]]) == [flow, job]


def test_two_subjects_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two subjects are called 'greet'"):
        subjects([lambda: [planted(greet)], lambda: [planted(greet, kind="periodic")]])
