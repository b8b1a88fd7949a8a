use std::os::unix::fs::MetadataExt;

use futures_util::FutureExt;
use tokio::io::AsyncReadExt;
use tokio::task::JoinHandle;

use super::*;

/// Repeats the tenant's name.
struct Echo;

impl Control for Echo {
    fn follow(&self, request: ControlRequest) -> BoxFuture<'_, ControlAnswer> {
        async move { ControlAnswer::Done(request.tenant) }.boxed()
    }
}

struct Served {
    path: PathBuf,
    stop: CancellationToken,
    server: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

fn serve() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let socket = ControlSocket::bind(&path).unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(socket.serve(Arc::new(Echo), stop.clone()));
    Served {
        path,
        stop,
        server,
        _folder: folder,
    }
}

fn pause(reason: &str) -> ControlRequest {
    ControlRequest {
        tenant: "contoso".into(),
        command: ControlCommand::Pause {
            reason: reason.into(),
        },
    }
}

#[tokio::test]
async fn only_the_daemons_user_can_connect_and_the_file_goes_with_the_daemon() {
    let served = serve();
    let made = fs::metadata(&served.path).unwrap();
    assert_eq!(made.mode() & 0o777, 0o600);
    let beside = fs::read_dir(served.path.parent().unwrap()).unwrap();
    assert_eq!(beside.count(), 1, "nothing else is left");
    let answer = ask(&served.path, &pause("x")).await.unwrap();
    assert_eq!(answer, ControlAnswer::Done("contoso".into()));
    let second = ControlSocket::bind(&served.path).map(|_| ());
    assert_eq!(second.unwrap_err().kind(), ErrorKind::AddrInUse);
    served.stop.cancel();
    served.server.await.unwrap();
    assert!(!served.path.exists());
    let gone = ask(&served.path, &pause("x")).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_a_killed_daemon_left_is_replaced_and_what_is_no_socket_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    drop(StdListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(ControlSocket::bind(&path).unwrap());
    fs::write(&path, "precious").unwrap();
    let refused = ControlSocket::bind(&path).map(|_| ());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[tokio::test]
async fn what_is_no_request_or_too_large_is_refused() {
    let served = serve();
    let large = "x".repeat(2 * MOST_BYTES as usize);
    for wrong in ["\n", "{}\n", "GET / HTTP/1.1\r\n", &large] {
        let mut stream = UnixStream::connect(&served.path).await.unwrap();
        // The server may stop reading first.
        let _ = stream.write_all(wrong.as_bytes()).await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(
            answer.is_empty() || answer.contains("unknown"),
            "{wrong:?}: {answer}"
        );
    }
    let answer = ask(&served.path, &pause("x")).await.unwrap();
    assert_eq!(answer, ControlAnswer::Done("contoso".into()));
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_keep_others_out_for_long() {
    let served = serve();
    let mut silent = Vec::new();
    for _ in 0..2 * CONNECTIONS {
        silent.push(UnixStream::connect(&served.path).await.unwrap());
    }
    tokio::time::pause();
    let answer = ask(&served.path, &pause("x")).await.unwrap();
    assert_eq!(answer, ControlAnswer::Done("contoso".into()));
}
