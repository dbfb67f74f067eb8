"""Fixtures of a server on a fake engine; see server_fakes.py."""

import falcon.testing
import pytest
from server_fakes import FakeEngine, make_context

from llamabox.server.app import create_app


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def context(engine):
    return make_context(engine)


@pytest.fixture
def client(context):
    return falcon.testing.TestClient(create_app(context))
