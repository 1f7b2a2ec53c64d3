"""Why: a fault that nobody would have been told of is a finding, so an experiment says who should be.

Only what is expected; whether it came is for ``gameday.run.alerts``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field, StringConstraints, field_validator

from gameday.spec.base import Duration, Mistake, Model, Name

NAME_LABEL: Final = "alertname"
SERVICE_LABEL: Final = "service"

LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


class ExpectedAlert(Model):
    """An alert that must fire once faults are in: any with this name, these labels, one of these services.

    ``within`` counts from the injection. One that does not fire in time is a finding; a ``required`` one
    disproves the hypothesis.
    """

    alert: Annotated[str, Field(min_length=1, description="the name of the rule, as in its file")]
    labels: Annotated[
        dict[LabelName, str], Field(default_factory=dict, description="labels that it must have")
    ]
    services: Annotated[
        tuple[Name, ...], Field(description="one of these must be its label service; else any")
    ] = ()
    within: Annotated[Duration, Field(description="how soon after the injection")] = timedelta(minutes=2)
    required: Annotated[bool, Field(description="without it the hypothesis is disproved")] = False

    @field_validator("within")
    @classmethod
    def _takes_time(cls, within: timedelta) -> timedelta:
        if within <= timedelta(0):
            raise ValueError("must be longer than 0s: a rule needs time to be evaluated")
        return within

    def mistakes(self) -> Iterator[Mistake]:
        """What has a key of its own stands there."""
        for label, key in ((NAME_LABEL, "alert"), (SERVICE_LABEL, "services")):
            if label in self.labels:
                yield ("labels", label), f"is given by {key!r}"

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels is the one."""
        return (
            labels.get(NAME_LABEL) == self.alert
            and all(labels.get(name) == value for name, value in self.labels.items())
            and (not self.services or labels.get(SERVICE_LABEL) in self.services)
        )

    def __str__(self) -> str:
        """For people: ``ServiceDown of postgres``."""
        wanted = [f"{name}={value}" for name, value in self.labels.items()]
        more = f" ({', '.join(wanted)})" if wanted else ""
        return f"{self.alert}{more}{' of ' + ' or '.join(self.services) if self.services else ''}"
