//! Azure Event Hubs, which speaks Kafka's protocol with limits of its own.

/// Its names in each of Azure's clouds: `NAMESPACE.servicebus.windows.net` and the like.
const DOMAINS: [&str; 3] = [
    ".servicebus.windows.net",
    ".servicebus.usgovcloudapi.net",
    ".servicebus.chinacloudapi.cn",
];

/// Whether one of the brokers, `host:port` separated by commas, belongs to Event Hubs.
pub(crate) fn is_among(brokers: &str) -> bool {
    brokers.split(',').any(|broker| {
        let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host);
        let host = host.trim().to_ascii_lowercase();
        DOMAINS.iter().any(|domain| host.ends_with(domain))
    })
}
