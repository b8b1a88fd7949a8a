-- The latest version of each incident in ClickHouse, for kafka.format = "cloudevents". ClickHouse reads the topic itself, and
-- committed records only, since librdkafka does so by default.
--
-- Tested with ClickHouse 26.9, with incidents in parts, repeats and an aborted transaction (tests/records/examples.rs).

CREATE TABLE incident_queue (value String) ENGINE = Kafka
SETTINGS kafka_broker_list = 'localhost:9092', kafka_topic_list = 'security.incidents', kafka_group_name = 'clickhouse',
    -- The value as it is, whatever is in it. By default ClickHouse waits for 7.5 s before it writes what it read.
    kafka_format = 'RawBLOB', kafka_flush_interval_ms = 1000;

-- Each record once. A repeat has the id of the record that it repeats, and must not come after newer versions.
CREATE TABLE incident_records
(
    key String,
    id String,
    part UInt16,
    parts UInt16,
    change SimpleAggregateFunction(any, String),
    updated SimpleAggregateFunction(any, DateTime64(7, 'UTC')),
    position SimpleAggregateFunction(min, UInt64),
    incident SimpleAggregateFunction(any, String)
)
ENGINE = AggregatingMergeTree ORDER BY (key, id, part, parts);

CREATE MATERIALIZED VIEW incident_reader TO incident_records AS
WITH CAST((_headers.name, _headers.value), 'Map(String, String)') AS headers
SELECT
    _key AS key,
    headers['ce_id'] AS id,
    greatest(1, toUInt16OrZero(headers['part'])) AS part,
    greatest(1, toUInt16OrZero(headers['parts'])) AS parts,
    splitByChar('.', headers['ce_type'])[3] AS change,
    parseDateTime64BestEffort(headers['ce_time'], 7, 'UTC') AS updated,
    _offset AS position,
    simpleJSONExtractRaw(value, 'data') AS incident
FROM incident_queue;

-- The alerts of an incident in parts are those of all its parts, in order. A set of parts counts when it is complete.
CREATE VIEW incidents AS
SELECT
    key,
    change,
    updated,
    JSONExtractString(incident, 'status') AS status,
    JSONExtractString(incident, 'severity') AS severity,
    JSONExtractString(incident, 'displayName') || JSONExtractString(incident, 'incidentName') AS name,
    incident,
    arrayFlatten(arrayMap(piece -> JSONExtractArrayRaw(piece.2, 'alerts'), pieces)) AS alerts
FROM
(
    SELECT
        key,
        if(parts = 1, id, arrayStringConcat(arrayPopBack(splitByChar('/', id)), '/')) AS version,
        any(records.change) AS change,
        any(records.updated) AS updated,
        min(records.position) AS first,
        arraySort(groupArray((part, records.incident))) AS pieces,
        pieces[1].2 AS incident
    FROM incident_records AS records FINAL
    GROUP BY key, version, parts
    HAVING length(pieces) = parts
)
ORDER BY updated DESC, first DESC
LIMIT 1 BY key;
