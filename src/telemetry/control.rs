//! The Unix socket over which operators' commands reach the daemon. The HTTP endpoints change nothing, because a whole cluster
//! may reach them; the socket's file belongs to the daemon's user, and only that user and root can connect.
//!
//! A connection carries one request and one answer, each a line of JSON. Their size, the time, and the number of connections
//! are limited.
//!
//! A caller that stops waiting must know whether its command can still take effect. So the daemon sends [`BEGUN`] before it
//! writes to the ledger, and writes nothing if that can't be sent. A caller closes the connection for what the daemon sends,
//! and then reads what has arrived. The kernel orders the two: either the caller finds the line, or the daemon can't send it.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The most bytes of a request or an answer.
const MOST_BYTES: u64 = 8192;
/// Further connections wait.
const CONNECTIONS: usize = 8;
/// For a request to arrive.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// How long a caller waits.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// For a command to be recorded. A caller has gone long before.
const WORK_LIMIT: Duration = Duration::from_secs(60);
/// The line that says that the write to the ledger begins.
const BEGUN: &[u8] = b"\"begun\"\n";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRequest {
    /// An id or a name.
    pub tenant: String,
    pub command: ControlCommand,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlCommand {
    Pause {
        reason: String,
    },
    Resume,
    Backfill {
        /// [`Ticks`](crate::core::time::ticks::Ticks).
        since: i64,
    },
}

/// The text is for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlAnswer {
    Done(String),
    /// The command can't be followed.
    Refused(String),
    /// Nothing of that name or form is known.
    Unknown(String),
    /// The same command may work later, or in another process.
    Later(String),
}

/// Tells the caller that the write to the ledger begins. `false`: the caller has gone, and nothing may be written.
pub type BeginNotice = Box<dyn FnOnce() -> bool + Send>;

/// Follows the commands.
pub trait Control: Send + Sync + 'static {
    fn follow(&self, request: ControlRequest, begin: BeginNotice) -> BoxFuture<'_, ControlAnswer>;
}

/// The daemon has not answered.
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
pub struct NoAnswer {
    /// The write to the ledger has begun, and its end is not known. `false`: the command does not take effect.
    pub begun: bool,
    pub source: io::Error,
}

/// The socket. Its file is removed at the end.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Blocks for a moment. Needs an async runtime.
    ///
    /// # Errors
    /// The file can't be made, or a running daemon has it.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Ok(found) = fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                let what = "something else is there";
                return Err(io::Error::new(ErrorKind::AlreadyExists, what));
            }
            if StdStream::connect(path).is_ok() {
                return Err(io::Error::new(ErrorKind::AddrInUse, "a daemon has it"));
            }
        }
        let listener = bind_private(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            path: path.to_owned(),
        })
    }

    /// Answers until `stop`.
    pub async fn serve(self, control: Arc<dyn Control>, stop: CancellationToken) {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = open.join_next() => {}
                accepted = self.listener.accept(), if open.len() < CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        open.spawn(answer(stream, control.clone()));
                    }
                    // No descriptor is left, for example.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the socket in a folder that nobody else can enter, and moves it to its place once nobody else can connect. A file
/// that a killed daemon left there is replaced.
fn bind_private(path: &Path) -> io::Result<StdListener> {
    let name = format!(".{}", std::process::id());
    let folder = path.parent().unwrap_or(Path::new("/")).join(name);
    let _ = fs::remove_dir_all(&folder);
    DirBuilder::new().mode(0o700).create(&folder)?;
    let made = folder.join("s");
    let bound = StdListener::bind(&made).and_then(|listener| {
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        fs::rename(&made, path)?;
        Ok(listener)
    });
    let _ = fs::remove_dir_all(&folder);
    bound
}

/// Answers one request. A caller that closes the connection, for writing too, takes it back.
async fn answer(stream: UnixStream, control: Arc<dyn Control>) -> io::Result<()> {
    let stream = stream.into_std()?;
    let sender = stream.try_clone()?;
    let begin = move || (&sender).write(BEGUN).is_ok_and(|sent| sent == BEGUN.len());
    let mut stream = UnixStream::from_std(stream)?;
    let answer = match timeout(REQUEST_LIMIT, read(&mut stream)).await {
        Ok(Ok(request)) => tokio::select! {
            biased;
            _ = stream.read_u8() => None,
            answer = control.follow(request, Box::new(begin)) => Some(answer),
            () = sleep(WORK_LIMIT) => None,
        },
        Ok(Err(_)) => Some(ControlAnswer::Unknown("this is no command".into())),
        Err(_) => None,
    };
    if let Some(answer) = answer {
        let _ = timeout(REQUEST_LIMIT, write(&mut stream, &answer)).await;
    }
    // Without it, a command that still waits for its turn could send its notice.
    stream.shutdown().await
}

/// Sends `request` to the daemon at `path`.
///
/// # Errors
/// [`NoAnswer`]: no daemon listens there, or it does not answer in time.
pub async fn ask(path: &Path, request: &ControlRequest) -> Result<ControlAnswer, NoAnswer> {
    let not_asked = |source| NoAnswer {
        begun: false,
        source,
    };
    let mut stream = UnixStream::connect(path).await.map_err(not_asked)?;
    let mut received = Vec::new();
    let exchange = async {
        write(&mut stream, request).await?;
        while received.len() < MOST_BYTES as usize && stream.read_buf(&mut received).await? > 0 {}
        Err(ErrorKind::UnexpectedEof.into())
    };
    let ended: io::Result<()> = timeout(CALL_LIMIT, exchange)
        .await
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
    let source = ended.err().unwrap_or(ErrorKind::UnexpectedEof.into());
    let rest = stream.into_std().and_then(|mut stream| {
        stream.shutdown(Shutdown::Read)?;
        stream.read_to_end(&mut received)
    });
    let mut lines = received.split_inclusive(|byte| *byte == b'\n');
    let begun = rest.is_err() || lines.clone().any(|line| line == BEGUN);
    lines
        .find_map(|line| serde_json::from_slice(line).ok())
        .ok_or(NoAnswer { begun, source })
}

async fn read<T: DeserializeOwned>(stream: &mut UnixStream) -> io::Result<T> {
    let mut line = String::new();
    let mut limited = BufReader::new(stream.take(MOST_BYTES));
    limited.read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}

async fn write<T: Serialize>(stream: &mut UnixStream, value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

#[cfg(test)]
mod tests;
