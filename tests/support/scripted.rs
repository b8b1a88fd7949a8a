//! A Microsoft with exact answers from a test: the bytes of pages, headers and statuses, for both sources.
//!
//! The simulator imitates a correct Microsoft, with known faults. This server imitates any: it knows only the ids and
//! last updates of incidents, serves the given bytes, and never interprets them. It issues tokens to everyone; a token
//! names its tenant, and nothing in it is checked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use incidentd::core::time::ticks::Ticks;
use incidentd::simulator::Tenant;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

/// Which of the two APIs a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    Graph,
    Defender,
}

impl Source {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Graph => "graph",
            Self::Defender => "defender",
        }
    }

    fn list(self) -> &'static str {
        match self {
            Self::Graph => "/v1.0/security/incidents",
            Self::Defender => "/api/incidents",
        }
    }

    fn last_update(self) -> &'static str {
        match self {
            Self::Graph => "lastUpdateDateTime",
            Self::Defender => "lastUpdateTime",
        }
    }
}

/// A request for a tenant's incidents.
#[derive(Clone, Debug)]
pub struct Asked {
    pub tenant: Uuid,
    pub source: Source,
    pub path: String,
    /// The decoded parameters by name: `$filter`, `$top`, `$skip`, and those of the test's own links.
    pub query: BTreeMap<String, String>,
    /// The number of this request of the tenant, counted from 1.
    pub number: usize,
    pub at: Instant,
}

impl Asked {
    /// Whether it requests a list, not one incident or its alerts.
    pub fn is_list(&self) -> bool {
        self.path == self.source.list()
    }

    /// The incident that is requested alone, or whose alerts are.
    pub fn incident(&self) -> Option<u64> {
        let rest = self.path.strip_prefix(self.source.list())?;
        rest.split('/').nth(1)?.parse().ok()
    }

    /// Whether it requests a list from its beginning, where a sweep begins.
    pub fn is_first_page(&self) -> bool {
        let further = |name: &String| name.to_lowercase().starts_with("$skip");
        self.is_list() && !self.query.keys().any(further)
    }

    pub fn number_of(&self, name: &str) -> Option<usize> {
        self.query.get(name)?.parse().ok()
    }

    /// The start of the filter's span.
    pub fn from(&self) -> Ticks {
        self.span().0
    }

    /// The start and the end (exclusive) of the filter's span.
    fn span(&self) -> (Ticks, Ticks) {
        let (mut from, mut to) = (Ticks(i64::MIN), Ticks(i64::MAX));
        let filter = self.query.get("$filter").map_or("", String::as_str);
        for term in filter.split(" and ").filter(|term| !term.is_empty()) {
            let mut words = term.split(' ');
            let (name, verb, at) = (words.next(), words.next(), words.next());
            assert_eq!(name, Some(self.source.last_update()), "{filter}");
            let at = at.and_then(|at| at.parse().ok());
            let at = at.unwrap_or_else(|| panic!("no instant in {filter}"));
            match verb {
                Some("ge") => from = at,
                Some("lt") => to = at,
                _ => panic!("what does this filter mean: {filter}"),
            }
        }
        (from, to)
    }
}

/// An exact answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Besides `Content-Length`, and `Date` if none is given.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: body.into(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A page of any elements; `members` come before them, each followed by a comma.
    pub fn page(members: &str, elements: &[Vec<u8>]) -> Self {
        let mut body = format!("{{{members}\"value\":[").into_bytes();
        body.extend_from_slice(&elements.join(&b','));
        body.extend_from_slice(b"]}");
        Self::json(200, body)
    }
}

type Script = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// The server and the requests that it got.
pub struct Scripted {
    url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    scripts: Mutex<HashMap<Uuid, Script>>,
    asked: Mutex<Vec<Asked>>,
    tokens: Mutex<usize>,
}

impl Scripted {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let shared = Arc::<Shared>::default();
        let served = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = served.clone();
                // A client that closes the connection early is not waited for.
                tokio::spawn(async move { serve(stream, &shared).await.ok() });
            }
        });
        Self { url, shared, task }
    }

    /// Scheme, host and port: the login URL and the base URL of both APIs.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// From now on `script` answers the tenant's requests.
    pub fn answers(&self, tenant: Uuid, script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) {
        lock(&self.shared.scripts).insert(tenant, Arc::new(script));
    }

    /// The tenant's requests so far, except those for tokens.
    pub fn asked(&self, tenant: Uuid) -> Vec<Asked> {
        let asked = lock(&self.shared.asked);
        let own = asked.iter().filter(|one| one.tenant == tenant);
        own.cloned().collect()
    }

    /// How many sweeps of the tenant have begun.
    pub fn sweeps(&self, tenant: Uuid) -> usize {
        let asked = lock(&self.shared.asked);
        let first = |one: &&Asked| one.tenant == tenant && one.is_first_page();
        asked.iter().filter(first).count()
    }

    pub fn token_requests(&self) -> usize {
        *lock(&self.shared.tokens)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Texts by last update and id.
type ByUpdate = BTreeMap<(Ticks, u64), Vec<u8>>;

/// A tenant's incidents as bytes, with their last updates. Clones share the same incidents.
#[derive(Clone)]
pub struct Shelf {
    source: Source,
    url: String,
    incidents: Arc<Mutex<ByUpdate>>,
}

impl Shelf {
    pub fn new(source: Source, microsoft: &Scripted) -> Self {
        Self {
            source,
            url: microsoft.url(),
            incidents: Arc::default(),
        }
    }

    /// Adds an incident, or replaces it.
    pub fn put(&self, id: u64, last_update: &str, text: impl Into<Vec<u8>>) {
        let at = last_update.parse().expect("an instant");
        let mut incidents = lock(&self.incidents);
        incidents.retain(|(_, known), _| *known != id);
        incidents.insert((at, id), text.into());
    }

    /// The answer to a request: its filter, `$top` and `$skip` are obeyed, the newest incidents come first, and Graph's
    /// pages have links.
    pub fn answer(&self, asked: &Asked) -> Answer {
        if let Some(id) = asked.incident() {
            let incidents = lock(&self.incidents);
            let found = incidents.iter().find(|((_, known), _)| *known == id);
            return match found {
                Some((_, text)) => Answer::json(200, text.clone()),
                None => Answer::json(
                    404,
                    r#"{"error":{"code":"ResourceNotFound","message":"not found"}}"#,
                ),
            };
        }
        let (page, next) = self.page(asked);
        let link = next.filter(|_| self.source == Source::Graph).map(|skip| {
            let path = self.source.list();
            let filter = asked.query.get("$filter").map_or("", String::as_str);
            let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
            let top = asked.number_of("$top").unwrap_or(50);
            let url = &self.url;
            json!(format!(
                "{url}{path}?$filter={filter}&$top={top}&$expand=alerts&$skiptoken={skip}"
            ))
        });
        let member = link.map(|link| format!("\"@odata.nextLink\":{link},"));
        Answer::page(&member.unwrap_or_default(), &page)
    }

    /// The incidents of a page, and how many the next page has to skip, if there is one.
    pub fn page(&self, asked: &Asked) -> (Vec<Vec<u8>>, Option<usize>) {
        let largest = match self.source {
            Source::Graph => 50,
            Source::Defender => 100,
        };
        let top = asked.number_of("$top").unwrap_or(largest).min(largest);
        let skip = asked
            .number_of("$skiptoken")
            .or_else(|| asked.number_of("$skip"))
            .unwrap_or(0);
        let (from, to) = asked.span();
        let incidents = lock(&self.incidents);
        let chosen: Vec<_> = incidents
            .iter()
            .rev()
            .filter(|((at, _), _)| *at >= from && *at < to)
            .map(|(_, text)| text)
            .collect();
        let page = chosen.iter().skip(skip).take(top);
        let page: Vec<_> = page.map(|text| (*text).clone()).collect();
        (page, (skip + top < chosen.len()).then_some(skip + top))
    }
}

/// An instant in the APIs' format, this many seconds from now (or ago, if negative).
pub fn instant(seconds_from_now: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_micros()).expect("before the year 290000");
    Ticks((now + seconds_from_now * 1_000_000) * 10).to_string()
}

async fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let mut values = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
            values.next().map(|(_, value)| value.to_owned())
        };
        let length = header("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await?;
        let target = head.split(' ').nth(1).unwrap_or_default();
        let answer = match header("authorization") {
            None => token(target, &body, shared),
            Some(bearer) => incidents(target, &bearer, shared),
        };
        stream.write_all(&written(&answer)).await?;
        stream.flush().await?;
    }
}

fn written(answer: &Answer) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
    let length = answer.body.len().to_string();
    let given = |name: &str| {
        answer
            .headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    let mut headers = answer.headers.clone();
    headers.push(("Content-Length".to_owned(), length));
    if !given("date") {
        let now = httpdate::fmt_http_date(SystemTime::now());
        headers.push(("Date".to_owned(), now));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut bytes = (head + "\r\n").into_bytes();
    bytes.extend_from_slice(&answer.body);
    bytes
}

/// A token for any tenant and resource.
fn token(target: &str, body: &[u8], shared: &Shared) -> Answer {
    *lock(&shared.tokens) += 1;
    let tenant = target.split('/').nth(1).unwrap_or_default();
    let form: HashMap<_, _> = url::form_urlencoded::parse(body).into_owned().collect();
    let scope = form.get("scope").map_or("", String::as_str);
    let audience = scope.trim_end_matches("/.default");
    let role = match audience {
        "https://graph.microsoft.com" => "SecurityIncident.Read.All",
        _ => "Incident.Read.All",
    };
    let lasts = Duration::from_secs(3600).as_secs();
    let part = |part: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let claims = json!({
        "aud": audience, "tid": tenant, "appid": Tenant::CLIENT_ID, "idtyp": "app", "roles": [role], "ver": "1.0",
    });
    let token = format!("{}.{}.c2ln", part(json!({"alg": "none"})), part(claims));
    let body = json!({"token_type": "Bearer", "expires_in": lasts, "access_token": token});
    Answer::json(200, body.to_string())
}

fn incidents(target: &str, bearer: &str, shared: &Shared) -> Answer {
    let Some(tenant) = tenant_of(bearer) else {
        return Answer::json(401, "{}");
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let source = match path.starts_with(Source::Graph.list()) {
        true => Source::Graph,
        false => Source::Defender,
    };
    let query = url::form_urlencoded::parse(query.as_bytes());
    let mut asked = Asked {
        tenant,
        source,
        path: path.to_owned(),
        query: query.into_owned().collect(),
        number: 0,
        at: Instant::now(),
    };
    {
        let mut all = lock(&shared.asked);
        asked.number = all.iter().filter(|one| one.tenant == tenant).count() + 1;
        all.push(asked.clone());
    }
    let script = lock(&shared.scripts).get(&tenant).cloned();
    match script {
        Some(script) => script(&asked),
        None => Answer::page("", &[]),
    }
}

/// The tenant of a token that this server issued.
fn tenant_of(bearer: &str) -> Option<Uuid> {
    let claims = bearer.strip_prefix("Bearer ")?.split('.').nth(1)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    claims["tid"].as_str()?.parse().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A script that panicked fails its test by the missing answer.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
