//! A server of its own on a loopback port, beside the simulator's.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Answers until it is dropped.
pub(super) struct LocalServer {
    pub(super) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl LocalServer {
    /// # Errors
    /// No port is free.
    pub(super) async fn start(routes: Router) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            // It ends only when it is aborted.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { address, accepting })
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
