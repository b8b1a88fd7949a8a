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
from math import isfinite

from azure.monitor.ingestion import LogsIngestionClient
from confluent_kafka import Consumer

STREAM = "Custom-IncidentdIncidents"
# Azure cuts a longer field, which is then no JSON any more.
LONGEST = 64 * 1024


# A longer member of an incident or alert is cut if the whole is too long.
LONG = LONGEST // 8
# Deeper nesting is not read by all that reads the table, and Python's JSON has a limit, too.
DEEPEST = 100


def rows(headers, event):
    """A row for the incident without its alerts, and one for each alert: a field and a call have room for no more."""
    common = {"Updated": headers["ce_time"], "EventId": headers["ce_id"], "Change": headers["ce_type"].split(".")[2],
              "CustomerTenantId": headers["tenant_id"], "CustomerTenant": headers["tenant_name"], "IncidentId": headers["ce_subject"]}
    text = event.decode(errors="replace")
    try:
        incident = json.loads(text, parse_float=number)["data"]
        if depth(incident) > DEEPEST:
            raise ValueError("nested too deeply")
    except (ValueError, RecursionError) as error:
        print(f"{headers['ce_id']} is sent as text: {error}", file=sys.stderr)
        return [common | {"Incident": short({"Text": text})}]
    alerts = incident.pop("alerts") if isinstance(incident.get("alerts"), list) else []
    alerts = [alert if isinstance(alert, dict) else {"Value": alert} for alert in alerts]
    return [common | {"Incident": short(incident)}, *(common | {"Alert": short(alert)} for alert in alerts)]


def number(text):
    """As text, if it is beyond a double: Python would send a word that is no JSON."""
    return float(text) if isfinite(float(text)) else text


def depth(value):
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, members), default=0)


def size(value):
    return len(json.dumps(value))


def short(value):
    """At most LONGEST bytes of JSON. Long texts are cut, and long lists and objects left out. `Cut` names these members."""
    if size(value) <= LONGEST:
        return value
    kept, cut, room = {}, [], LONGEST - 2048
    for name, whole in value.items():
        member = whole
        while isinstance(member, str) and size(member) > LONG:
            member = member[:len(member) // 2]
        needed = size({name: member})
        if needed <= min(room, 2 * LONG) and size(member) <= LONG:
            kept[name], room = member, room - needed
        if kept.get(name) is not whole:
            cut.append(name)
    return kept | {"Cut": ", ".join(cut)[:150]}


def send(consumer, client, rule):
    """What is not sent is read again after a restart: the table may have a row twice, with one EventId."""
    while record := consumer.poll(60):
        if record.error():
            raise RuntimeError(record.error())
        headers = {name: value.decode() for name, value in record.headers()}
        client.upload(rule_id=rule, stream_name=STREAM, logs=rows(headers, record.value()))
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
