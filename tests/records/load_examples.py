"""Loads an example of deploy/examples with the tool that it is for, and prints what comes of it as lines of JSON.

    load_examples.py clickhouse BROKERS TOPIC            the view, when the last record is in it
    load_examples.py sentinel BROKERS TOPIC              the rows that an endpoint receives
    load_examples.py vector PROGRAM < EVENTS             the events, after Vector's program
    load_examples.py logstash                            the plugins of the pipeline
    load_examples.py odd                                 what view.py and sentinel.py make of records that few topics have

The last record of each partition has a key that begins with `end/`.
"""

import gzip
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "deploy/examples"
sys.path.insert(0, str(EXAMPLES))
sys.dont_write_bytecode = True


def show(value):
    print(json.dumps(value))


def clickhouse(brokers, topic):
    from chdb import ChdbError
    from chdb.session import Session

    text = (EXAMPLES / "clickhouse.sql").read_text()
    text = text.replace("localhost:9092", brokers).replace("security.incidents", topic)
    session = Session()
    for statement in filter(str.strip, text.split(";\n")):
        try:
            session.query(statement)
        except ChdbError as error:
            # In a process of another program ClickHouse makes a table of Kafka and says this nevertheless.
            if "ENGINE = Kafka" not in statement or "Shutdown was called" not in str(error):
                raise
    partitions, deadline = 2, time.monotonic() + 60
    while int(str(session.query("SELECT uniq(key) FROM incident_records WHERE startsWith(key, 'end/')"))) < partitions:
        assert time.monotonic() < deadline, "the topic is not read to its end"
        time.sleep(0.2)
    found = str(session.query("SELECT key, change, status, incident, alerts FROM incidents WHERE NOT startsWith(key, 'end/')", "JSONEachRow"))
    for line in found.splitlines():
        row = json.loads(line)
        incident = json.loads(row["incident"])
        assert row["status"] == incident["status"], row
        show({"key": row["key"], "incident": incident | {"alerts": [json.loads(alert) for alert in row["alerts"]]}})
    # The threads that read do not end by themselves.
    sys.stdout.flush()
    session.close()


class Endpoint(BaseHTTPRequestHandler):
    """The Logs Ingestion API, as far as its client needs it."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        for row in json.loads(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body):
            show({"path": self.path, "row": row})
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Until:
    """A consumer that has nothing more after the last record."""

    def __init__(self, consumer, partitions):
        self.consumer, self.left = consumer, partitions

    def poll(self, timeout):
        while self.left:
            record = self.consumer.poll(timeout)
            assert record, "the topic is not read to its end"
            if not record.key().startswith(b"end/"):
                return record
            self.left -= 1

    def commit(self, record, asynchronous):
        self.consumer.commit(record, asynchronous=asynchronous)


def sentinel(brokers, topic):
    import sentinel
    from azure.core.credentials import AccessToken
    from azure.core.pipeline.policies import SansIOHTTPPolicy
    from azure.monitor.ingestion import LogsIngestionClient
    from confluent_kafka import Consumer

    class Nobody:
        def get_token(self, *_, **__):
            return AccessToken("none", 2**40)

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # Without TLS the client would refuse to send a token.
    client = LogsIngestionClient(f"http://127.0.0.1:{server.server_port}", Nobody(), authentication_policy=SansIOHTTPPolicy())
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "sentinel", "auto.offset.reset": "earliest",
                         "enable.auto.commit": False})
    consumer.subscribe([topic])
    sentinel.send(Until(consumer, 2), client, "dcr-of-a-test")
    server.shutdown()


def vector(program):
    from vrl_python import VRLRuntime

    wrong = VRLRuntime.check_syntax(program)
    assert wrong is None, wrong.formatted_message
    runtime = VRLRuntime()
    # What Vector's source adds to the members of a record.
    added = {"headers": {"ce_id": "1"}, "message_key": "k", "offset": 1, "partition": 0, "topic": "t", "source_type": "kafka",
             "timestamp": "2026-11-23T02:14:36Z"}
    for line in sys.stdin:
        show(runtime.execute(program, json.loads(line) | added).processed_event)


def logstash():
    from logstash_pipeline_parser import Pipeline

    show({"pipeline": str(Pipeline((EXAMPLES / "logstash.conf").read_text()).parse())})


class Records:
    """A consumer of these records, and a client that shows the rows it gets."""

    def __init__(self, events):
        self.events = events

    def poll(self, _):
        self.event = next(self.events, None)
        return self.event and self

    def error(self):
        return None

    def headers(self):
        names = ("ce_id", "ce_time", "ce_subject", "tenant_id", "tenant_name")
        return [("ce_type", b"incidentd.incident.updated.v1"), *((name, b"t/1/2/3") for name in names)]

    def value(self):
        return self.event

    def commit(self, *_, **__):
        pass

    def upload(self, rule_id, stream_name, logs):
        for row in logs:
            show({"row": row})


def odd():
    import sentinel
    import view

    def event(incident):
        return b'{"data":%s}' % incident

    nested, no_text = event(b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}"), event(b'{"a":"\xff","b":1e400}')
    order, other = view.View(), view.View()

    def part(view, version, number, value=None):
        value = value or event(b'{"is":"%s","alerts":[%d]}' % (version.encode(), number))
        view.take("key", {"ce_id": f"t/1/{version}/cut/{number}", "part": str(number), "parts": "2"}, value)
        show({"view": view.incidents.get("key")})

    for version, number in [("A", 1), ("B", 1), ("B", 2), ("A", 1), ("A", 2), ("B", 1), ("B", 2)]:
        part(order, version, number)
    part(other, "A", 1)
    part(other, "A", 2, nested)
    for number, value in enumerate([no_text, nested]):
        other.take("key", {"ce_id": f"t/1/{number}"}, value)
        show({"view": other.incidents["key"]})
    long = {"id": "7", "description": "\u00e9\"" * 40000, "evidence": [{"at": number} for number in range(9000)], "tags": ["a"]}
    alerts = event(json.dumps({"id": "1", "alerts": [long, 5, {f"m{number}": "x" * 5000 for number in range(99)}]}).encode())
    records = Records(iter([no_text, nested, event(b'{"alerts":"none"}'), alerts]))
    sentinel.send(records, records, "rule")


if __name__ == "__main__":
    {"clickhouse": clickhouse, "sentinel": sentinel, "vector": vector, "logstash": logstash, "odd": odd}[sys.argv[1]](*sys.argv[2:])
