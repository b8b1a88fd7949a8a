use super::*;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::io::Write;
use std::sync::Arc;
use tracing::subscriber::with_default;
use tracing::{Level, debug, error, info, trace, warn};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Sink;

    fn make_writer(&'a self) -> Sink {
        self.clone()
    }
}

const TEXT: Style = Style::Text { colour: false };

/// What `act` logged, line by line.
fn logged(style: Style, filter: &str, act: impl FnOnce()) -> Vec<String> {
    let sink = Sink::default();
    let targets = targets(filter).expect("the filter is right");
    with_default(subscriber(style, targets, sink.clone()), act);
    let bytes = sink.0.lock().clone();
    let text = String::from_utf8(bytes).expect("a log is UTF-8");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_filter_changes_while_the_log_is_at_work() {
    let sink = Sink::default();
    let (targets, handle) = reload::Layer::new(targets("info").expect("a filter"));
    let filter = LogFilterHandle(handle);
    with_default(subscriber(TEXT, targets, sink.clone()), || {
        debug!("before");
        filter.set("debug").expect("a filter");
        debug!("between");
        assert!(filter.set("loud").is_err());
        debug!("still");
        filter.set("info").expect("a filter");
        debug!("after");
    });
    let text = String::from_utf8(sink.0.lock().clone()).expect("UTF-8");
    let words: Vec<_> = text.split_whitespace().collect();
    let heard = |word| words.contains(&word);
    assert_eq!(
        ["before", "between", "still", "after"].map(heard),
        [false, true, true, false],
        "{text}"
    );
}

#[test]
fn a_json_line_is_one_object_with_the_fields_beside_the_message() {
    let lines = logged(Style::Json, "info", || {
        warn!(tenant = "con\"toso\n", pages = 3, "sweep failed\nonce");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["message"], "sweep failed\nonce");
    assert_eq!(line["tenant"], "con\"toso\n");
    assert_eq!(line["pages"], 3);
    assert_eq!(line["target"], "incidentd::telemetry::logging::tests");
    let time = line["timestamp"].as_str().expect("a time");
    time.parse::<Ticks>().expect("an RFC 3339 time");
    assert_eq!(time.len(), "2026-11-22T12:00:00.000Z".len(), "{time}");
    let fields: Vec<_> = line.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        ["level", "message", "pages", "target", "tenant", "timestamp"]
    );
}

#[test]
fn each_level_keeps_its_name() {
    let lines = logged(Style::Json, "trace", || {
        error!("e");
        warn!("w");
        info!("i");
        debug!("d");
        trace!("t");
    });
    let levels: Vec<_> = lines
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["level"].clone())
        .collect();
    assert_eq!(levels, ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"]);
}

#[test]
fn a_text_line_is_time_level_message_fields() {
    let lines = logged(TEXT, "info", || info!(tenant = "contoso", "swept"));
    let (time, rest) = lines[0].split_once(' ').expect("a time");
    time.parse::<Ticks>().expect("an RFC 3339 time");
    assert_eq!(rest, " INFO swept tenant=\"contoso\"");
}

#[test]
fn a_text_line_of_another_crate_names_it() {
    let lines = logged(TEXT, "info", || warn!(target: "hyper_util", "odd"));
    assert!(lines[0].ends_with(" WARN hyper_util: odd"), "{lines:?}");
}

#[test]
fn colours_are_only_written_when_asked_for() {
    let act = || info!(tenant = "contoso", "swept");
    assert!(!logged(TEXT, "info", act)[0].contains('\x1b'));
    let coloured = logged(Style::Text { colour: true }, "info", act);
    assert!(coloured[0].contains('\x1b'), "{coloured:?}");
}

#[test]
fn text_from_outside_writes_no_lines_of_its_own() {
    let outside = "x\r\n2026-01-01T00:00:00.000Z ERROR forged \x1b[31m";
    let lines = logged(
        TEXT,
        "info",
        || info!(error = %outside, "failed: {outside}"),
    );
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].contains(['\r', '\x1b']), "{lines:?}");
    assert!(lines[0].contains("\\r\\n2026"), "{lines:?}");
}

#[test]
fn a_bare_level_is_for_our_own_lines() {
    for (filter, ours, others) in [
        ("info", Level::INFO, Level::WARN),
        ("trace", Level::TRACE, Level::WARN),
        ("error", Level::ERROR, Level::ERROR),
        ("hyper_util=debug", Level::INFO, Level::WARN),
    ] {
        let targets = targets(filter).unwrap();
        for level in [
            Level::ERROR,
            Level::WARN,
            Level::INFO,
            Level::DEBUG,
            Level::TRACE,
        ] {
            let heard = |target| targets.would_enable(target, &level);
            assert_eq!(heard("incidentd::app"), level <= ours, "{filter} {level}");
            assert_eq!(heard("redb"), level <= others, "{filter} {level}");
        }
    }
}

#[test]
fn a_part_of_the_daemon_can_be_heard_alone() {
    let targets = targets("warn, incidentd::microsoft=debug").unwrap();
    assert!(targets.would_enable("incidentd::microsoft::tokens", &Level::DEBUG));
    assert!(!targets.would_enable("incidentd::runtime", &Level::INFO));
}

proptest! {
    /// The connection may carry a token: no filter makes another crate log it.
    #[test]
    fn no_filter_makes_another_crate_speak_below_debug(
        filter in "(trace,)?(incidentd=trace,)?(hyper|hyper_util|h2|reqwest|rustls|tower|h|incident|incidentdx|incidentd)(::x)?=(trace|5)(,trace)?",
    ) {
        let targets = targets(&filter).unwrap();
        for target in ["hyper", "hyper_util::client", "h2::codec", "reqwest::connect", "rustls::client::hs", "tower::x"] {
            prop_assert!(!targets.would_enable(target, &Level::TRACE), "{} {}", filter, target);
        }
    }

    #[test]
    fn no_filter_panics(filter in "[a-z:=,0-9 ]{0,30}") {
        let _ = targets(&filter);
    }
}

#[test]
fn a_librarys_trace_line_is_not_written() {
    let lines = logged(TEXT, "trace,hyper=trace,hyper_util=trace", || {
        trace!(target: "hyper::proto", "authorization: Bearer canary");
        debug!(target: "hyper_util::client", "connected");
        trace!("ours");
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(!lines.concat().contains("canary"), "{lines:?}");
}

#[test]
fn a_schedule_that_leaves_is_no_error_and_other_libraries_errors_are_written() {
    let errors = || {
        error!(target: "tokio_cron_scheduler::job::runner", "Error getting 1 from job code");
        error!(target: "tokio_cron_scheduler::job::creator", "Error saving job metadata");
    };
    for filter in ["info", "debug", "info,tokio_cron_scheduler=debug"] {
        let lines = logged(TEXT, filter, errors);
        assert_eq!(lines.len(), 1, "{filter}: {lines:?}");
        assert!(lines[0].contains("metadata"), "{filter}: {lines:?}");
    }
    let asked = "info,tokio_cron_scheduler::job::runner=error";
    assert_eq!(logged(TEXT, asked, errors).len(), 2, "it is asked for");
}

#[test]
fn a_filter_that_says_nothing_is_refused_with_the_words_that_are_wrong() {
    for (filter, wrong) in [
        ("infoo", "infoo"),
        ("info,hyper", "hyper"),
        ("info,hyper=loud", "hyper=loud"),
        ("=debug", "=debug"),
        ("", ""),
    ] {
        let error = targets(filter).expect_err(filter).to_string();
        assert!(error.contains(&format!("{wrong:?}")), "{filter}: {error}");
    }
}

#[test]
fn a_log_that_cannot_be_written_harms_nobody() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    for style in [Style::Json, TEXT] {
        let mut reached = false;
        with_default(
            subscriber(style, targets("info").unwrap(), || Broken),
            || {
                error!("into the void");
                reached = true;
            },
        );
        assert!(reached);
    }
}

#[test]
fn times_are_utc_with_three_digits() {
    for (ticks, expected) in [
        (Ticks(17_000_000_000_000_000), "2023-11-14T22:13:20.000Z"),
        (Ticks(17_000_000_001_239_999), "2023-11-14T22:13:20.123Z"),
        (Ticks(-1), "1969-12-31T23:59:59.999Z"),
    ] {
        let mut text = String::new();
        write_millis(&mut text, ticks).unwrap();
        assert_eq!(text, expected);
    }
}
