//! Where a running daemon is, and what its endpoints answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{CONFIGURATION, CommandError, ConfigFile, UNAVAILABLE};
use crate::config;
use crate::core::format::tame;
use crate::core::health::failure::one_line;
use crate::telemetry::client::{self, EndpointAnswer, RequestError};

/// The daemon that is asked.
pub struct Daemon {
    pub address: String,
    /// The second address to try when nothing listens at `address`.
    otherwise: Option<String>,
    /// The part of the configuration that names the address; `None`: the command line does.
    source: Option<String>,
}

impl Daemon {
    /// Where the command line says.
    pub fn at(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            otherwise: None,
            source: None,
        }
    }

    /// Where the configuration says.
    pub fn of(file: &ConfigFile) -> Result<Self, CommandError> {
        let listen = file.read(config::listen).map_err(|wrong| {
            let help = "or say with --address HOST:PORT where the daemon listens";
            CommandError::saying(wrong.code, format!("{wrong}\n    {help}"))
        })?;
        let source = format!("http.listen of {}", file.config.display());
        if listen.port() == 0 {
            let what = format!(
                "the daemon chose its port itself ({source} has port 0): name it with --address HOST:PORT; its log has it \
                 in the line \"incidentd runs\", as listen"
            );
            return Err(CommandError::saying(CONFIGURATION, what));
        }
        Ok(Self::listening(listen, &source))
    }

    pub fn listening(listen: SocketAddr, source: &str) -> Self {
        let (address, otherwise) = reachable(listen);
        Self {
            address,
            otherwise,
            source: Some(source.to_owned()),
        }
    }

    /// The answer, and the address that gave it.
    pub async fn ask(&self, path: &str) -> Result<(EndpointAnswer, &str), CommandError> {
        let first = client::get(&self.address, path).await;
        let (address, answer) = match (first, &self.otherwise) {
            (Err(RequestError::Connect(refused)), Some(other)) => {
                match client::get(other, path).await {
                    // Show the first address's error: it is the right one in most places.
                    Err(RequestError::Connect(_)) => {
                        (&self.address, Err(RequestError::Connect(refused)))
                    }
                    answer => (other, answer),
                }
            }
            (first, _) => (&self.address, first),
        };
        let answer = answer.map_err(|error| self.unreachable(address, error))?;
        Ok((answer, address))
    }

    fn unreachable(&self, address: &str, error: RequestError) -> CommandError {
        let asked = self.asked();
        let what = match error {
            RequestError::Strange(why) => {
                format!("what answers at {address} is not incidentd: {why}\n    {asked}")
            }
            error => {
                let why = format!("{:#}", anyhow::Error::new(error));
                format!(
                    "no answer from {address}: {why}\n    Is incidentd running? (systemctl status incidentd)\n    {asked}"
                )
            }
        };
        CommandError::saying(UNAVAILABLE, what)
    }

    pub fn strange(&self, address: &str, answer: &EndpointAnswer) -> CommandError {
        let asked = self.asked();
        let (status, body) = (answer.status, one_line(&tame(&answer.body), 80));
        let what = format!(
            "what answers at {address} does not answer as incidentd does: {status} {body:?}\n    {asked}"
        );
        CommandError::saying(UNAVAILABLE, what)
    }

    /// Why this address was asked, and how to ask another.
    fn asked(&self) -> String {
        match &self.source {
            Some(source) => format!(
                "It was asked where {source} says; if incidentd listens elsewhere, use --address HOST:PORT."
            ),
            None => "It was asked where --address says: see http.listen of its configuration, or the line \"incidentd runs\" \
                     of its log."
                .into(),
        }
    }
}

/// The address at which to reach a daemon that listens on `listen`, and a second one. A daemon on all addresses also listens
/// on loopback. `[::]` serves IPv4 too, and only IPv4 in a container whose loopback has no `::1`.
fn reachable(listen: SocketAddr) -> (String, Option<String>) {
    let (ip, otherwise): (IpAddr, Option<IpAddr>) = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST.into(), None),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            (Ipv6Addr::LOCALHOST.into(), Some(Ipv4Addr::LOCALHOST.into()))
        }
        ip => (ip, None),
    };
    let address = |ip| SocketAddr::new(ip, listen.port()).to_string();
    (address(ip), otherwise.map(address))
}

/// `HOST:PORT`, also as the start of a URL.
pub fn host_and_port(text: &str) -> Result<String, String> {
    let plain = text.strip_prefix("http://").unwrap_or(text);
    let plain = plain.strip_suffix('/').unwrap_or(plain);
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '?' | '#');
    let parts = plain.rsplit_once(':').filter(|_| !plain.contains(odd));
    match parts {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|n| n > 0) => {
            Ok(plain.to_owned())
        }
        _ => Err("give HOST:PORT, for example 127.0.0.1:9464; it is asked in plain http".into()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    use super::*;

    #[test]
    fn a_daemon_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, asked, otherwise) in [
            ("127.0.0.1:9464", "127.0.0.1:9464", None),
            ("0.0.0.0:9464", "127.0.0.1:9464", None),
            ("[::]:9464", "[::1]:9464", Some("127.0.0.1:9464")),
            ("192.0.2.7:80", "192.0.2.7:80", None),
        ] {
            let (first, second) = reachable(listen.parse().unwrap());
            assert_eq!(
                (first.as_str(), second.as_deref()),
                (asked, otherwise),
                "{listen}"
            );
        }
    }

    fn daemon_behind_all_addresses(port: u16) -> Daemon {
        let (address, otherwise) = reachable(format!("[::]:{port}").parse().unwrap());
        Daemon {
            address,
            otherwise,
            source: None,
        }
    }

    #[tokio::test]
    async fn a_daemon_that_serves_ipv4_only_is_found_behind_all_addresses() {
        let served = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = served.local_addr().unwrap().port();
        let serve = async {
            let (mut stream, _) = served.accept().await.unwrap();
            let (reading, mut writing) = stream.split();
            let mut head = String::new();
            let mut lines = BufReader::new(reading);
            while lines.read_line(&mut head).await.unwrap() > 2 {}
            writing
                .write_all(b"HTTP/1.0 200 OK\r\n\r\nok\n")
                .await
                .unwrap();
        };
        let daemon = daemon_behind_all_addresses(port);
        let (answer, ()) = tokio::join!(
            async {
                let answer = daemon.ask("/livez").await;
                answer.map(|(answer, address)| (answer.status, address.to_owned()))
            },
            serve
        );
        let answer = answer.unwrap_or_else(|failed| panic!("{:#}", failed.error));
        assert_eq!(answer, (200, format!("127.0.0.1:{port}")));
    }

    #[tokio::test]
    async fn where_nobody_answers_the_first_address_is_named() {
        // Bound and not listening: nobody else takes the port meanwhile.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let daemon = daemon_behind_all_addresses(port);
        let failed = daemon.ask("/livez").await.expect_err("nobody answers");
        let said = format!("{:#}", failed.error);
        assert!(
            said.contains(&format!("no answer from [::1]:{port}")),
            "{said}"
        );
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (given, taken) in [
            ("localhost:9464", "localhost:9464"),
            ("[::1]:9464", "[::1]:9464"),
            ("http://10.0.0.7:9464/", "10.0.0.7:9464"),
        ] {
            assert_eq!(host_and_port(given).as_deref(), Ok(taken));
        }
        for wrong in [
            "",
            "localhost",
            ":9464",
            "localhost:0",
            "localhost:http",
            "https://localhost:9464",
            "http://h:1/metrics",
            "user@h:1",
            "h\n:1",
        ] {
            assert!(host_and_port(wrong).is_err(), "{wrong:?}");
        }
    }
}
