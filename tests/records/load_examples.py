"""Loads an example of deploy/examples with the tool that it is for, and prints what comes of it as lines of JSON.

    load_examples.py clickhouse BROKERS TOPIC            the view, when the last record is in it
    load_examples.py sentinel BROKERS TOPIC              the rows that an endpoint receives
    load_examples.py vector PROGRAM < EVENTS             the events, after Vector's program
    load_examples.py logstash                            the plugins of the pipeline

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
    sys.path.insert(0, str(EXAMPLES))
    sys.dont_write_bytecode = True
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


if __name__ == "__main__":
    {"clickhouse": clickhouse, "sentinel": sentinel, "vector": vector, "logstash": logstash}[sys.argv[1]](*sys.argv[2:])
