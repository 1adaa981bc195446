"""The ticket of a step of a runbook that runs straight: of its request, its place in the run, and this attempt."""

from typing import Protocol

from temporalio import activity

from quorate.command import Ticket


class Request(Protocol):
    @property
    def operation(self) -> str: ...

    @property
    def actor(self) -> str: ...


class Task(Protocol):
    @property
    def request(self) -> Request: ...

    @property
    def step(self) -> str: ...

    @property
    def turn(self) -> int: ...


def ticket_of(task: Task) -> Ticket:
    return Ticket(task.request.operation, task.turn, activity.info().attempt, task.step, task.request.actor)
