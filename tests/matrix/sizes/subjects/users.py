"""Many users sign up at once, and leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.chaos.plant import sending
from tests.matrix.sizes.figures import Figure
from tests.matrix.sizes.runs import Run
from tests.matrix.sizes.scenes import scene
from workflows.user_onboarding import STEPS, onboard
from workflows.user_onboarding.setup_defaults import DEFAULTS, undo_defaults

FLOW = "workflow:user_onboarding"
#: Seconds in the place of some days.
LATER = 1.0


@scene(FLOW, *STEPS)
def users(run: Run) -> Iterator[Figure]:
    """Each has two mails, their settings and a workspace; then no settings and no workspace any more."""
    house, people = run.house, [f"user{n}@example.com" for n in range(run.of(1_000, 5))]
    with sending(house.plant):
        done = run.watch(
            lambda: [onboard(person, person, f"User {n}", follow_up_after=LATER) for n, person in enumerate(people)]
        )
    assert done.results == [True] * len(people)
    assert Counter(mail.recipient for mail in house.smtp.journal()) == dict.fromkeys(people, 2)
    assert house.ask("SELECT COUNT(*) FROM onboarding_settings") == len(people) * len(DEFAULTS)
    everything = "welcomed_at IS NOT NULL AND prepared_at IS NOT NULL AND followed_up_at IS NOT NULL"
    assert house.ask(f"SELECT COUNT(*) FROM onboarding_users WHERE {everything}") == len(people)
    assert len(list(house.root.glob("workspaces/*/first-steps.csv"))) == len(people)
    on = f"{len(people):,} users who sign up at once"
    yield done.figure(FLOW, on, len(people), "users", "two mails, settings and a workspace for each, once")
    for step in STEPS:
        if step is not undo_defaults:
            yield done.of_bodies(step.actor_name, f"its part of the {on}", len(people), "users", "as the flow")
    done = run.work(undo_defaults.message(person) for person in people)
    assert done.results == [len(DEFAULTS)] * len(people)
    assert house.ask("SELECT COUNT(*) FROM onboarding_settings") == 0
    assert not list(house.root.glob("workspaces/*/first-steps.csv"))
    yield done.figure(
        "undo_defaults", f"{len(people):,} users who leave", len(people), "users", "no settings, no workspaces"
    )
