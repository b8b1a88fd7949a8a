"""The latest version of each incident: a view that is built from the topic, for kafka.format = "cloudevents".

    pip install confluent-kafka
    python3 view.py BROKERS TOPIC          prints the view as lines of JSON, at the topic's present end

Tested with incidents in parts, repeats and an aborted transaction (tests/records/examples.rs).
"""

import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition


def read(brokers, topic):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "view", "isolation.level": "read_committed",
                         "enable.auto.commit": False, "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    view, seen, sets, ended = {}, set(), {}, 0
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
        headers = {name: value.decode() for name, value in record.headers()}
        # A repeat must not take the place of a newer version. Forget old ids when the view goes on for ever.
        if headers["ce_id"] in seen:
            continue
        seen.add(headers["ce_id"])
        key, incident = record.key().decode(), json.loads(record.value())["data"]
        if "parts" in headers:
            # A key has one set at a time. A set that stays incomplete is followed by another one.
            version, parts = headers["ce_id"].rpartition("/")[0], sets.pop(key, None)
            parts = parts[1] if parts and parts[0] == version else {}
            parts[int(headers["part"])] = incident
            if len(parts) < int(headers["parts"]):
                sets[key] = version, parts
                continue
            incident = parts[1] | {"alerts": [alert for part in sorted(parts) for alert in parts[part]["alerts"]]}
        view[key] = incident
    return view


if __name__ == "__main__":
    for key, incident in read(*sys.argv[1:]).items():
        print(json.dumps({"key": key, "incident": incident}))
