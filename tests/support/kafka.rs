//! A real Apache Kafka for tests: the one that `tests/run` started for all tests, or a test's own node, which it may
//! stop, kill and start again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const CONFIG: &str = include_str!("../kafka/server.properties");
const LOGIN: &str = r#"
listeners=PLAINTEXT://127.0.0.1:@BROKER_PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,LOGIN://127.0.0.1:@LOGIN_PORT@
advertised.listeners=PLAINTEXT://127.0.0.1:@BROKER_PORT@,LOGIN://127.0.0.1:@LOGIN_PORT@
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOGIN:SASL_PLAINTEXT
listener.name.login.sasl.enabled.mechanisms=PLAIN
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_@USER@="@PASSWORD@";
"#;
/// Users of the plain port may do anything; users that log in may do only what is granted.
const GUARDED: &str = "
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS
";
const TLS: &str = "
listeners=PLAINTEXT://127.0.0.1:@BROKER_PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,TLS://127.0.0.1:@TLS_PORT@
advertised.listeners=PLAINTEXT://127.0.0.1:@BROKER_PORT@,TLS://127.0.0.1:@TLS_PORT@
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TLS:SSL
ssl.keystore.type=PKCS12
ssl.keystore.location=@KEYSTORE@
ssl.keystore.password=changeit
";
const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// `host:port` of the broker that all tests share. Use topic names that no other test uses.
pub fn shared() -> String {
    from_tests_run("INCIDENTD_TEST_KAFKA")
}

/// Creates a topic and waits until it can be written to. `configs` are topic settings, as `("cleanup.policy", "compact")`.
pub async fn create_topic(bootstrap: &str, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap)
        .create()
        .expect("a client for administration");
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (key, value) in configs {
        new = new.set(key, value);
    }
    let results = admin
        .create_topics(
            &[new],
            &AdminOptions::new().operation_timeout(Some(Duration::from_secs(30))),
        )
        .await
        .expect("an answer to CreateTopics");
    for result in results {
        result.unwrap_or_else(|(topic, code)| panic!("topic {topic} was not created: {code}"));
    }
    // The broker learns a moment later what its controller has made.
    let topic = topic.to_owned();
    let known = tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let metadata = admin.inner().fetch_metadata(Some(&topic), START_LIMIT);
            let metadata = metadata.expect("the topic's metadata");
            if !metadata.topics()[0].partitions().is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{topic} does not appear");
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    known.await.expect("the topic is there");
}

/// A record in a topic.
#[derive(Debug, Clone)]
pub struct Found {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the Unix epoch: when it was sent, or appended if the topic says so.
    pub at: i64,
    pub key: String,
    pub headers: Vec<(String, String)>,
    pub value: Vec<u8>,
}

/// Every committed record of a topic up to its present end, partition by partition in order. Blocks.
pub fn read_all(bootstrap: &str, topic: &str) -> Vec<Found> {
    let mut config = client(bootstrap);
    config
        .set("group.id", "tests")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let metadata = consumer
        .fetch_metadata(Some(topic), START_LIMIT)
        .expect("the topic's metadata");
    let partitions: Vec<i32> = metadata.topics()[0]
        .partitions()
        .iter()
        .map(|p| p.id())
        .collect();
    assert!(!partitions.is_empty(), "the topic {topic} does not exist");
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning)
            .expect("an offset");
    }
    consumer.assign(&list).expect("an assignment");
    let mut found = Vec::new();
    let mut ended = BTreeSet::new();
    let deadline = Instant::now() + START_LIMIT;
    while ended.len() < partitions.len() {
        assert!(
            Instant::now() < deadline,
            "{topic}: read {} records, no end",
            found.len()
        );
        match consumer.poll(Duration::from_millis(200)) {
            None => {}
            Some(Ok(message)) => found.push(Found::from(&message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            Some(Err(error)) => panic!("{topic} can't be read: {error}"),
        }
    }
    found.sort_by_key(|one| (one.partition, one.offset));
    found
}

/// The offset after the last record of each partition. Blocks.
pub fn ends(bootstrap: &str, topic: &str) -> Vec<i64> {
    let consumer: BaseConsumer = client(bootstrap).create().expect("a consumer");
    let metadata = consumer
        .fetch_metadata(Some(topic), START_LIMIT)
        .expect("the topic's metadata");
    let count = metadata.topics()[0].partitions().len();
    (0..i32::try_from(count).expect("a few partitions"))
        .map(|partition| {
            let ends = consumer.fetch_watermarks(topic, partition, START_LIMIT);
            ends.expect("the partition's ends").1
        })
        .collect()
}

/// The partitions of a topic that hold an open transaction. Blocks.
pub fn open_transactions(bootstrap: &str, topic: &str) -> Vec<i32> {
    let ends = |isolation: &str| {
        let mut config = client(bootstrap);
        config.set("isolation.level", isolation);
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let metadata = consumer
            .fetch_metadata(Some(topic), START_LIMIT)
            .expect("the topic's metadata");
        let partitions = metadata.topics()[0].partitions().iter();
        let end = |partition: i32| {
            let ends = consumer.fetch_watermarks(topic, partition, START_LIMIT);
            (partition, ends.expect("the partition's ends").1)
        };
        partitions
            .map(|partition| end(partition.id()))
            .collect::<Vec<_>>()
    };
    // In this order: a transaction that begins in between looks closed.
    let (all, decided) = (ends("read_uncommitted"), ends("read_committed"));
    let both = all.into_iter().zip(decided);
    let open = both.filter(|((_, end), (_, decided))| decided < end);
    open.map(|((partition, _), _)| partition).collect()
}

/// Changes a setting of a topic; its other settings get their defaults.
pub async fn alter_topic(bootstrap: &str, topic: &str, key: &str, value: &str) {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap)
        .create()
        .expect("a client for administration");
    let alter = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(key, value);
    let results = admin
        .alter_configs(&[alter], &AdminOptions::new())
        .await
        .expect("an answer to AlterConfigs");
    for result in results {
        result.unwrap_or_else(|(of, code)| panic!("{of:?} was not changed: {code}"));
    }
}

/// Writes these records to the ends of their partitions, each in a batch of its own: two may be too large for the topic.
/// Blocks until they are there.
pub fn append(bootstrap: &str, topic: &str, records: &[Found]) {
    let mut config = client(bootstrap);
    config.set("batch.num.messages", "1");
    let producer: BaseProducer = config.create().expect("a producer");
    for record in records {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &record.headers {
            let value = Some(value);
            headers = headers.insert(Header { key, value });
        }
        let to = BaseRecord::to(topic).partition(record.partition);
        let record = to.key(&record.key).payload(&record.value).headers(headers);
        let sent = producer.send(record);
        sent.map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(START_LIMIT).expect("sent");
}

/// Begins a transaction with one record in each of these partitions of topics, and leaves it open, as an owner that dies
/// does. Kafka aborts it after `limit`. Blocks until the records are in the topics.
pub fn leave_open(
    bootstrap: &str,
    transactional_id: &str,
    limit: Duration,
    records: &[(&str, i32, &[u8])],
) -> BaseProducer {
    let mut config = client(bootstrap);
    config
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", limit.as_millis().to_string());
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(START_LIMIT).expect("fenced");
    producer.begin_transaction().expect("begun");
    for (topic, partition, key) in records {
        let record = BaseRecord::to(topic).partition(*partition).key(*key);
        let sent = producer.send(record.payload("of a transaction that stays open"));
        sent.map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(START_LIMIT).expect("sent");
    producer
}

impl From<&BorrowedMessage<'_>> for Found {
    fn from(message: &BorrowedMessage<'_>) -> Self {
        let text =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let headers = message
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter());
        Self {
            partition: message.partition(),
            offset: message.offset(),
            at: message.timestamp().to_millis().expect("a time"),
            key: text(message.key()),
            headers: headers
                .map(|header| (header.key.to_owned(), text(header.value)))
                .collect(),
            value: message.payload().unwrap_or_default().to_vec(),
        }
    }
}

/// A test's own KRaft node. Its methods block. Dropping it kills the node.
pub struct Broker {
    dir: PathBuf,
    port: u16,
    java: Vec<String>,
    child: Option<Child>,
}

impl Broker {
    /// Formats a node in `dir`, which holds configuration, data and log, and starts it on free loopback ports.
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, "")
    }

    /// The same with further lines of configuration, in which the same placeholders are replaced.
    pub fn start_with(dir: &Path, lines: &str) -> Self {
        Self::start_with_options(dir, lines, &[], &[])
    }

    /// The same with users for SCRAM, as `kafka-storage.sh format --add-scram` takes them, and options of its Java.
    pub fn start_with_options(dir: &Path, lines: &str, users: &[String], java: &[String]) -> Self {
        let (port, controller) = free_ports();
        let text = (CONFIG.to_owned() + lines)
            .replace("@BROKER_PORT@", &port.to_string())
            .replace("@CONTROLLER_PORT@", &controller.to_string())
            .replace("@DATA@", &dir.join("data").display().to_string());
        std::fs::write(dir.join("server.properties"), text).expect("server.properties written");
        let mut broker = Self {
            dir: dir.to_owned(),
            port,
            java: java.to_vec(),
            child: None,
        };
        let formatted = broker
            .java("kafka.tools.StorageTool")
            .args(["format", "-t", "aW5jaWRlbnRkLXRlc3QtMQ", "-c"])
            .arg(broker.dir.join("server.properties"))
            .args(users.iter().flat_map(|user| ["--add-scram", user]))
            .status()
            .expect("java runs");
        assert!(
            formatted.success(),
            "no storage was formatted:\n{}",
            broker.log()
        );
        broker.launch();
        broker
    }

    /// The same with a second port that requires a log-in. Also returns the `host:port` of that port.
    pub fn start_with_login(dir: &Path, user: &str, password: &str) -> (Self, String) {
        let (port, _) = free_ports();
        let lines = LOGIN
            .replace("@LOGIN_PORT@", &port.to_string())
            .replace("@USER@", user)
            .replace("@PASSWORD@", password);
        (Self::start_with(dir, &lines), format!("127.0.0.1:{port}"))
    }

    /// The same, but users that log in may do only what is granted ([`grant`]). `lines` as in [`Broker::start_with`].
    pub fn start_guarded(dir: &Path, user: &str, password: &str, lines: &str) -> (Self, String) {
        let (port, _) = free_ports();
        let login = LOGIN
            .replace("@LOGIN_PORT@", &port.to_string())
            .replace("@USER@", user)
            .replace("@PASSWORD@", password);
        let all = [&login, GUARDED, lines].concat();
        (Self::start_with(dir, &all), format!("127.0.0.1:{port}"))
    }

    /// A node with a second port that uses TLS. Also returns the `host:port` of that port, and the file of the
    /// authority that signed its certificate.
    pub fn start_with_tls(dir: &Path) -> (Self, String, PathBuf) {
        let (keystore, authority) = (dir.join("broker.p12"), dir.join("authority.pem"));
        let keytool = |args: &str| {
            let mut command = Command::new("keytool");
            command
                .args(args.split(' '))
                .arg("-keystore")
                .arg(&keystore);
            let done = command.args(["-storepass", "changeit"]).output();
            let done = done.expect("the JDK's keytool runs");
            assert!(done.status.success(), "keytool {args}: {done:?}");
            done.stdout
        };
        keytool(
            "-genkeypair -alias broker -keyalg RSA -storetype PKCS12 -dname CN=127.0.0.1 -validity 30 -ext san=ip:127.0.0.1 \
             -ext bc:critical=ca:true",
        );
        let pem = keytool("-exportcert -rfc -alias broker");
        std::fs::write(&authority, pem).expect("a file");
        let (port, _) = free_ports();
        let lines = TLS
            .replace("@TLS_PORT@", &port.to_string())
            .replace("@KEYSTORE@", &keystore.display().to_string());
        let broker = Self::start_with(dir, &lines);
        (broker, format!("127.0.0.1:{port}"), authority)
    }

    /// `host:port`, the same for the node's whole life.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Stops the node cleanly (SIGTERM) and waits until it is gone.
    pub fn stop(&mut self) {
        self.end("TERM");
    }

    /// Kills the node at once (SIGKILL).
    pub fn kill(&mut self) {
        self.end("KILL");
    }

    /// Suspends the node (SIGSTOP): it keeps its connections, and answers nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets a frozen node go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Starts the node again, on the same ports and data; stops it first if it runs.
    pub fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    fn launch(&mut self) {
        let child = self
            .java("kafka.Kafka")
            .arg(self.dir.join("server.properties"))
            // Ctrl-C of the test run must not stop the node half-way.
            .process_group(0)
            .spawn()
            .expect("java runs");
        self.child = Some(child);
        let deadline = Instant::now() + START_LIMIT;
        while !answers(&self.bootstrap()) {
            let child = self.child.as_mut().expect("launched above");
            if let Some(status) = child.try_wait().expect("the node's state") {
                panic!(
                    "the Kafka node ended while starting, {status}:\n{}",
                    self.log()
                );
            }
            assert!(
                Instant::now() < deadline,
                "no answer from Kafka:\n{}",
                self.log()
            );
        }
    }

    fn end(&mut self, signal: &str) {
        self.signal(signal);
        let Some(mut child) = self.child.take() else {
            return;
        };
        let deadline = Instant::now() + STOP_LIMIT;
        while child.try_wait().expect("the node's state").is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!(
                    "the Kafka node did not end within {STOP_LIMIT:?}:\n{}",
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: &str) {
        let Some(pid) = self.child.as_ref().map(Child::id) else {
            return;
        };
        // The `kill` of the shell, because a minimal system has no other, and calling kill(2) would need unsafe code.
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{signal} {pid}")])
            .status()
            .expect("sh runs");
        assert!(
            sent.success(),
            "no SIG{signal} could be sent to the Kafka node {pid}"
        );
    }

    fn java(&self, main: &str) -> Command {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("kafka.log"))
            .expect("kafka.log opened");
        let logging = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/log4j2.properties");
        let mut command = Command::new("java");
        command
            .args(["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-cp"])
            .arg(format!("{}/*", from_tests_run("INCIDENTD_TEST_KAFKA_LIBS")))
            .arg(format!("-Dlog4j2.configurationFile={logging}"))
            .args(&self.java)
            .arg(main)
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a second handle"))
            .stdout(log);
        command
    }

    /// The end of the node's output.
    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("kafka.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a user may be permitted, with the numbers of Kafka's protocol.
#[derive(Debug, Clone, Copy)]
pub enum Right<'a> {
    /// WRITE and DESCRIBE, as `kafka-acls.sh --producer` grants them.
    Produce(&'a str),
    /// READ and DESCRIBE on a topic.
    Read(&'a str),
    /// WRITE and DESCRIBE on the transactional ids with this prefix.
    Transactions(&'a str),
    /// READ on a consumer group.
    Group(&'a str),
    /// DescribeConfigs on a topic.
    DescribeTopic(&'a str),
    /// DescribeConfigs on the cluster.
    DescribeCluster,
}

/// Gives a topic more partitions, `count` in all.
pub async fn add_partitions(bootstrap: &str, topic: &str, count: usize) {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap)
        .create()
        .expect("a client for administration");
    let wait = AdminOptions::new().operation_timeout(Some(START_LIMIT));
    let new = NewPartitions::new(topic, count);
    let added = admin.create_partitions(&[new], &wait).await;
    added.expect("an answer")[0].as_ref().expect("added");
}

/// Deletes a topic, and waits until it is gone.
pub async fn delete_topic(bootstrap: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap)
        .create()
        .expect("a client for administration");
    let wait = AdminOptions::new().operation_timeout(Some(START_LIMIT));
    let deleted = admin.delete_topics(&[topic], &wait).await;
    deleted.expect("an answer")[0].as_ref().expect("deleted");
}

/// Permits a user something, through the plain port of a guarded node. Blocks.
///
/// librdkafka's Rust wrapper has no such request, and Kafka's own tool is not among its jars, so this writes CreateAcls
/// of the protocol, version 1.
pub fn grant(bootstrap: &str, user: &str, right: Right<'_>) {
    const CREATE_ACLS: u8 = 30;
    let (kind, name, pattern, operations) = right.rule();
    let mut rules = count(operations.len());
    for operation in operations {
        rules.push(kind);
        text(&mut rules, name);
        rules.push(pattern);
        text(&mut rules, &format!("User:{user}"));
        text(&mut rules, "*");
        // Permission type 3: allow.
        rules.extend([*operation, 3]);
    }
    let answer = ask(bootstrap, CREATE_ACLS, &rules);
    // An error code and a message for each rule. A good answer has no message.
    for (n, _) in operations.iter().enumerate() {
        let code = &answer[4 * n..4 * n + 2];
        assert_eq!(
            code,
            [0, 0],
            "{right:?} was not granted to {user}: {answer:?}"
        );
    }
}

/// Takes back what [`grant`] has permitted. Blocks. This is DeleteAcls, version 1.
pub fn revoke(bootstrap: &str, user: &str, right: Right<'_>) {
    const DELETE_ACLS: u8 = 31;
    const ANY: u8 = 1;
    let (kind, name, pattern, _) = right.rule();
    let mut filter = count(1);
    filter.push(kind);
    text(&mut filter, name);
    filter.push(pattern);
    text(&mut filter, &format!("User:{user}"));
    text(&mut filter, "*");
    filter.extend([ANY, ANY]);
    let answer = ask(bootstrap, DELETE_ACLS, &filter);
    assert_eq!(
        answer[..2],
        [0, 0],
        "{right:?} was not taken from {user}: {answer:?}"
    );
    let removed = &answer[4..8];
    assert!(removed != [0; 4], "{user} did not have {right:?}");
}

impl<'a> Right<'a> {
    /// The kind of resource, its name, the type of pattern, and the operations.
    fn rule(self) -> (u8, &'a str, u8, &'static [u8]) {
        const TOPIC: u8 = 2;
        const GROUP: u8 = 3;
        const CLUSTER: u8 = 4;
        const TRANSACTIONAL_ID: u8 = 5;
        const LITERAL: u8 = 3;
        const PREFIXED: u8 = 4;
        match self {
            Right::Produce(topic) => (TOPIC, topic, LITERAL, &[4, 8]),
            Right::Read(topic) => (TOPIC, topic, LITERAL, &[3, 8]),
            Right::Transactions(prefix) => (TRANSACTIONAL_ID, prefix, PREFIXED, &[4, 8]),
            Right::Group(group) => (GROUP, group, LITERAL, &[3]),
            Right::DescribeTopic(topic) => (TOPIC, topic, LITERAL, &[10]),
            Right::DescribeCluster => (CLUSTER, "kafka-cluster", LITERAL, &[10]),
        }
    }
}

fn text(into: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("a short text");
    into.extend(length.to_be_bytes());
    into.extend(text.as_bytes());
}

fn count(of: usize) -> Vec<u8> {
    u32::try_from(of).expect("a few").to_be_bytes().to_vec()
}

/// Sends a request of version 1, and returns its answer after correlation id, throttle time and count.
fn ask(bootstrap: &str, key: u8, body: &[u8]) -> Vec<u8> {
    let mut request = vec![0, key, 0, 1, 0, 0, 0, 7];
    text(&mut request, "tests");
    request.extend(body);
    let mut stream = TcpStream::connect(bootstrap).expect("a connection");
    let frame = [count(request.len()), request].concat();
    stream.write_all(&frame).expect("sent");
    let mut size = [0; 4];
    stream.read_exact(&mut size).expect("an answer");
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).expect("the whole of it");
    answer.split_off(12)
}

fn from_tests_run(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: this test needs a real Kafka; run it with tests/run, which starts one")
    })
}

/// Client settings that keep librdkafka's connection chatter out of the tests' output.
fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set_log_level(RDKafkaLogLevel::Emerg);
    config
}

/// Whether a broker answers a request for metadata within a second.
fn answers(bootstrap: &str) -> bool {
    let consumer: BaseConsumer = client(bootstrap).create().expect("a client");
    consumer
        .fetch_metadata(None, Duration::from_secs(1))
        .is_ok_and(|metadata| !metadata.brokers().is_empty())
}

/// Two free ports below the range that the kernel uses for outgoing connections, so that a stopped node gets its ports
/// again.
pub fn free_ports() -> (u16, u16) {
    let offset = u16::try_from(uuid::Uuid::new_v4().as_u128() % 15_000).expect("below 15,000");
    let mut taken = (0..15_000_u16)
        .map(|n| 15_000 + (offset + n) % 15_000)
        .filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let (first, second) = (taken.next(), taken.next());
    let port = |listener: Option<TcpListener>| {
        let address = listener.expect("a free port").local_addr();
        address.expect("its address").port()
    };
    (port(first), port(second))
}
