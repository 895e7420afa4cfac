"""The engine and a model of the protocol lead the same life."""

from __future__ import annotations

from hypothesis import settings

from support.model_machine import Machine

TestModel = Machine.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=40)
