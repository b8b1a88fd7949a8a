"""The latest version of each incident: a view that is built from the topic, for kafka.format = "cloudevents".

    pip install confluent-kafka
    python3 view.py BROKERS TOPIC          prints the view as lines of JSON, at the topic's present end

Tested with incidents in parts, repeats, an aborted transaction and incidents that are no JSON (tests/records/examples.rs).
"""

import json
import sys
from math import isfinite

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition


class View:
    def __init__(self):
        self.incidents, self.seen, self.sets = {}, set(), {}

    def take(self, key, headers, value):
        version, parts, incident = headers["ce_id"], None, parsed(value)
        if "parts" in headers:
            # What follows the version's id is the way to cut it, and the part.
            version, cut, _ = version.rsplit("/", 2)
            # A key has one set at a time. A set that stays incomplete is followed by another one.
            held, parts = self.sets.pop(key, (None, {}))
            parts = (parts if held == (version, cut) else {}) | {int(headers["part"]): incident}
        # A repeat must not take the place of a newer version. Forget old ids when the view goes on for ever.
        if version in self.seen:
            return
        if parts:
            if len(parts) < int(headers["parts"]):
                self.sets[key] = (version, cut), parts
                return
            incident = joined([parts[part] for part in sorted(parts)])
        self.seen.add(version)
        self.incidents[key] = incident


def parsed(value):
    """The incident, or the event as text: an incident can be nested more deeply than Python reads."""
    text = value.decode(errors="replace")
    try:
        return json.loads(text, parse_float=number)["data"]
    except (ValueError, RecursionError):
        return text


def number(text):
    """As text, if it is beyond a double: Python would write a word that is no JSON."""
    return float(text) if isfinite(float(text)) else text


def joined(parts):
    """The incident, or the list of its parts if one of them is a text."""
    if any(isinstance(part, str) for part in parts):
        return parts
    return parts[0] | {"alerts": [alert for part in parts for alert in part["alerts"]]}


def read(brokers, topic):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "view", "isolation.level": "read_committed",
                         "enable.auto.commit": False, "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    view, ended = View(), 0
    # Without this condition the view goes on for ever.
    while ended < len(partitions):
        record = consumer.poll(1)
        if record is None:
            continue
        if record.error():
            if record.error().code() != KafkaError._PARTITION_EOF:
                raise RuntimeError(record.error())
            ended += 1
            continue
        view.take(record.key().decode(), {name: value.decode() for name, value in record.headers()}, record.value())
    return view.incidents


if __name__ == "__main__":
    for key, incident in read(*sys.argv[1:]).items():
        try:
            print(json.dumps({"key": key, "incident": incident}))
        except RecursionError:
            print(f"{key}: nested more deeply than Python writes", file=sys.stderr)
