"""Reads the first COUNT records of a topic with CloudEvents' SDK for Python, and prints each event as a line of JSON.

    read_cloudevents.py BROKERS TOPIC COUNT
"""

import json
import sys

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event, from_structured_event
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

brokers, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
consumer = Consumer({"bootstrap.servers": brokers, "group.id": "read", "enable.auto.commit": False})
consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
while count and (record := consumer.poll(30)):
    message = KafkaMessage(dict(record.headers()), record.key(), record.value())
    # The SDK's from_kafka_event takes each record with a ce_ header for binary mode. The binding lets the content type decide.
    structured = message.headers["content-type"].startswith(b"application/cloudevents")
    event = (from_structured_event if structured else from_binary_event)(message)
    attributes = {name: value if isinstance(value, str) else value.isoformat() for name, value in event.get_attributes().items()}
    print(json.dumps({"attributes": attributes, "data": event.get_data()}))
    count -= 1
sys.exit(count != 0)
