use std::os::unix::fs::MetadataExt;

use futures_util::FutureExt;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;

/// Repeats the tenant's name.
struct Echo;

impl Control for Echo {
    fn follow(&self, request: ControlRequest, _: BeginNotice) -> BoxFuture<'_, ControlAnswer> {
        async move { ControlAnswer::Done(request.tenant) }.boxed()
    }
}

struct Served {
    path: PathBuf,
    stop: CancellationToken,
    server: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// Hands the notice of each command over, and never answers.
struct Silent(mpsc::Sender<BeginNotice>);

impl Control for Silent {
    fn follow(&self, _: ControlRequest, begin: BeginNotice) -> BoxFuture<'_, ControlAnswer> {
        assert!(self.0.try_send(begin).is_ok(), "the test waits for it");
        std::future::pending().boxed()
    }
}

fn serve() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    serve_at(ControlSocket::bind(&path).unwrap(), folder, Arc::new(Echo))
}

fn serve_at(socket: ControlSocket, folder: tempfile::TempDir, control: Arc<dyn Control>) -> Served {
    let path = socket.path.clone();
    let stop = CancellationToken::new();
    let server = tokio::spawn(socket.serve(control, stop.clone()));
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
    assert_eq!(gone.source.kind(), ErrorKind::NotFound);
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

#[tokio::test(start_paused = true)]
async fn a_caller_that_stops_waiting_knows_whether_its_command_has_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let socket = ControlSocket::bind(&path).unwrap();
    // Nobody accepts yet: the daemon is suspended.
    let early = ask(&path, &pause("early")).await.unwrap_err();
    assert!(!early.begun);
    assert_eq!(early.source.kind(), ErrorKind::TimedOut);
    let (sender, mut notices) = mpsc::channel(8);
    let served = serve_at(socket, folder, Arc::new(Silent(sender)));
    sleep(Duration::from_secs(1)).await;
    while let Ok(begin) = notices.try_recv() {
        assert!(!begin(), "its caller has gone");
    }

    let request = pause("x");
    let waits = ask(&served.path, &request);
    let late = async { notices.recv().await.unwrap() };
    let (waited, late) = tokio::join!(waits, late);
    assert!(!waited.unwrap_err().begun);
    assert!(!late(), "its caller has gone");

    let begins = ask(&served.path, &request);
    let begin = async { notices.recv().await.unwrap()() };
    let (begun, told) = tokio::join!(begins, begin);
    assert!(told && begun.unwrap_err().begun);
}

/// A caller closes its connection for what arrives while the daemon sends the notice: both agree on which came first.
#[test]
fn the_notice_arrives_or_can_not_be_sent() {
    for round in 0..500_u32 {
        let (mut caller, daemon) = StdStream::pair().unwrap();
        let sent = std::thread::scope(|scope| {
            let sent = scope.spawn(|| (&daemon).write(BEGUN).is_ok());
            (0..round % 50).for_each(|_| std::hint::spin_loop());
            caller.shutdown(Shutdown::Read).unwrap();
            sent.join().unwrap()
        });
        let mut arrived = Vec::new();
        caller.read_to_end(&mut arrived).unwrap();
        assert_eq!(arrived == BEGUN, sent, "round {round}");
    }
}
