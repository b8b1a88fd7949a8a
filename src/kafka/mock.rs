//! librdkafka's in-process broker, for `demo`: real wire protocol over loopback, and nothing to install.
//!
//! It keeps only the newest 5 MB of a partition, so read while writing. It honours neither isolation nor fencing, so it
//! proves nothing about exactly-once.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rdkafka::error::KafkaError as ClientError;
use rdkafka::mocking::MockCluster;

use super::KafkaError;

/// One broker in this process. Dropping it closes its connections and forgets its records.
pub struct MockBroker {
    brokers: String,
    /// The broker's thread ends when this is dropped.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MockBroker {
    /// Starts the broker with these topics and partition counts, on a loopback port of its own choice.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, KafkaError> {
        let topics: Vec<(String, i32)> = topics
            .iter()
            .map(|(topic, partitions)| ((*topic).to_owned(), *partitions))
            .collect();
        let (stop, stopped) = sync_channel(1);
        let (tell, told) = sync_channel(1);
        // The cluster can't move between threads, so it has one of its own.
        let thread = std::thread::Builder::new()
            .name("mock-broker".to_owned())
            .spawn(move || serve(&topics, &tell, &stopped))
            .map_err(|error| KafkaError::Mock {
                why: error.to_string(),
            })?;
        let brokers = told.recv().map_err(|error| KafkaError::Mock {
            why: error.to_string(),
        })?;
        Ok(Self {
            brokers: brokers.map_err(|error| KafkaError::Mock {
                why: error.to_string(),
            })?,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `host:port`.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }
}

impl Drop for MockBroker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread no longer matters.
            let _ = thread.join();
        }
    }
}

fn serve(
    topics: &[(String, i32)],
    tell: &SyncSender<Result<String, ClientError>>,
    stopped: &Receiver<()>,
) {
    let started = MockCluster::new(1).and_then(|cluster| {
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 1)?;
        }
        Ok(cluster)
    });
    match started {
        Ok(cluster) => {
            if tell.send(Ok(cluster.bootstrap_servers())).is_ok() {
                // Returns an error when the sender is dropped, which is the signal.
                let _ = stopped.recv();
            }
        }
        Err(error) => {
            let _ = tell.send(Err(error));
        }
    }
}
