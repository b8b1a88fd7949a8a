"""Sends incidents to a table of Microsoft Sentinel with the Logs Ingestion API, for kafka.format = "cloudevents".

    pip install confluent-kafka azure-monitor-ingestion azure-identity
    ENDPOINT=https://….ingest.monitor.azure.com RULE_ID=dcr-… python3 sentinel.py BROKERS TOPIC

sentinel-rule.json makes the table and the data collection rule. The identity (see azure-identity) needs the role Monitoring
Metrics Publisher on the rule.

Tested: the rows of a topic, sent with Microsoft's client to an endpoint of the test (tests/records/examples.rs). Untested: Azure.
"""

import json
import os
import sys

from azure.monitor.ingestion import LogsIngestionClient
from confluent_kafka import Consumer

STREAM = "Custom-IncidentdIncidents"
# Azure cuts a longer field, which is then no JSON any more.
LONGEST = 64 * 1024


def rows(headers, incident):
    """A row for the incident without its alerts, and one for each alert: a field and a call have room for no more."""
    alerts = incident.pop("alerts", None) or []
    common = {"Updated": headers["ce_time"], "EventId": headers["ce_id"], "Change": headers["ce_type"].split(".")[2],
              "CustomerTenantId": headers["tenant_id"], "CustomerTenant": headers["tenant_name"], "IncidentId": headers["ce_subject"]}
    yield common | {"Incident": short(incident)}
    for alert in alerts:
        yield common | {"Alert": short(alert)}


def short(value):
    """Without its lists and objects, if it is too long with them."""
    if len(json.dumps(value).encode()) <= LONGEST:
        return value
    return {name: member for name, member in value.items() if not isinstance(member, (list, dict))}


def send(consumer, client, rule):
    """What is not sent is read again after a restart: the table may have a row twice, with one EventId."""
    while record := consumer.poll(60):
        if record.error():
            raise RuntimeError(record.error())
        headers = {name: value.decode() for name, value in record.headers()}
        incident = json.loads(record.value())["data"]
        client.upload(rule_id=rule, stream_name=STREAM, logs=list(rows(headers, incident)))
        consumer.commit(record, asynchronous=False)


if __name__ == "__main__":
    from azure.identity import DefaultAzureCredential

    brokers, topic = sys.argv[1:]
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "sentinel", "isolation.level": "read_committed",
                         "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([topic])
    client = LogsIngestionClient(os.environ["ENDPOINT"], DefaultAzureCredential())
    while True:
        send(consumer, client, os.environ["RULE_ID"])
