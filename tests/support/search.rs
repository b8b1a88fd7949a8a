//! A search for secrets and tokens in everything that left the program, and the proof that it would find them.

use memchr::memmem::Finder;
use serde_json::Value;

use super::daemon::Daemon;
use super::tell;

/// Secrets with characters that forms, JSON and URLs encode.
pub const RIGHT: &str = "canary/right+1&2=3%41~never.seen\"quoted\"";
pub const WRONG: &str = "canary/wrong+1&2=3%41~never.seen";
/// A value for librdkafka in place of an operator's password.
pub const KAFKA: &str = "canary/kafka+7&8=9%43~never.seen\\back";
/// The beginning of all secrets and of each token: a part of one is a leak as well.
pub const BEGINNINGS: [&str; 2] = ["canary", "eyJhbGciOi"];
/// The size of the sample of each place in which planted words are searched.
const SAMPLE: usize = 4 << 10;

/// The words to find, and the places to search.
pub struct Search {
    words: Vec<String>,
    /// A part of each token that no other token has.
    tokens: Vec<String>,
    places: Vec<Place>,
}

/// The name of a place and its content.
pub type Place = (String, Vec<u8>);

/// The content of all addresses of a daemon, with the pages of the worst ten tenants.
pub async fn endpoints(of: &str, daemon: &Daemon) -> Vec<Place> {
    let mut places = Vec::new();
    let fixed = [
        "/",
        "/page.css",
        "/livez",
        "/readyz",
        "/metrics",
        "/api/status",
    ];
    let mut paths = fixed.map(str::to_owned).to_vec();
    let status: Value = serde_json::from_str(&daemon.get("/api/status").await.1).expect("JSON");
    let tenants = status["tenants"].as_array().expect("a list").iter();
    let ids = tenants.filter_map(|tenant| tenant["id"].as_str()).take(10);
    paths.extend(ids.map(|id| format!("/tenants/{id}")));
    for path in paths {
        let (code, body) = daemon.get(&path).await;
        places.push((
            format!("{of}: GET {path}"),
            format!("{code}\n{body}").into_bytes(),
        ));
    }
    places
}

impl Search {
    /// A search for these words, and for the beginnings of all secrets and tokens.
    pub fn new(words: &[&str]) -> Self {
        let words = words.iter().chain(&BEGINNINGS);
        Self {
            words: words.map(|word| (*word).to_owned()).collect(),
            tokens: Vec::new(),
            places: Vec::new(),
        }
    }

    pub fn add(&mut self, place: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.places.push((place.into(), content.into()));
    }

    pub fn tokens(&mut self, tokens: &[String]) {
        for token in tokens {
            assert!(
                token.starts_with(BEGINNINGS[1]),
                "how tokens begin: {token}"
            );
            let signature = token.rsplit('.').next().expect("a part");
            self.tokens.push(signature[..40].to_owned());
        }
    }

    pub fn add_all(&mut self, places: impl IntoIterator<Item = Place>) {
        self.places.extend(places);
    }

    /// Searches every place for every word, and fails if it finds one. Then all words are put into each place in all
    /// their spellings, and each has to be found: a search that can't find anything proves nothing.
    pub fn run(&self) {
        let finders = Finders::of(&self.words, &self.tokens);
        let bytes: usize = self.places.iter().map(|(_, bytes)| bytes.len()).sum();
        tell(format_args!(
            "{} secrets and beginnings and {} tokens searched in {} places, {bytes} bytes",
            self.words.len(),
            self.tokens.len(),
            self.places.len(),
        ));
        let found: Vec<String> = self
            .places
            .iter()
            .flat_map(|(place, bytes)| {
                let hits = finders.hits(bytes);
                hits.map(move |(word, at)| format!("{place}: {word} in {:?}", around(bytes, at)))
            })
            .collect();
        assert!(found.is_empty(), "{found:#?}");
        for (place, bytes) in &self.places {
            let missed = finders.missed_when_planted(&bytes[..bytes.len().min(SAMPLE)]);
            assert!(
                missed.is_empty(),
                "planted in {place}, not found: {missed:?}"
            );
        }
    }
}

/// The words in all their spellings, prepared for many searches.
struct Finders(Vec<(String, Finder<'static>)>);

impl Finders {
    /// No character of a token has another spelling.
    fn of(words: &[String], tokens: &[String]) -> Self {
        let spelled = words.iter().flat_map(|word| spellings(word));
        let all = spelled.chain(tokens.iter().cloned());
        let finder = |word: String| (word.clone(), Finder::new(word.as_bytes()).into_owned());
        Self(all.map(finder).collect())
    }

    /// The spellings in `bytes`, and where they are.
    fn hits<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (&'a str, usize)> {
        let all = self.0.iter();
        all.filter_map(|(word, finder)| Some((word.as_str(), finder.find(bytes)?)))
    }

    /// The spellings that are not found when all of them are in the middle of `bytes`.
    fn missed_when_planted(&self, bytes: &[u8]) -> Vec<&str> {
        let (before, behind) = bytes.split_at(bytes.len() / 2);
        let words = self.0.iter().map(|(word, _)| word.as_bytes());
        let planted = [&[before], &words.collect::<Vec<_>>()[..], &[behind]].concat();
        let planted = planted.join(&b'\n');
        let missed = self
            .0
            .iter()
            .filter(|(_, finder)| finder.find(&planted).is_none());
        missed.map(|(word, _)| word.as_str()).collect()
    }
}

/// The text before and after a hit, for the message.
fn around(bytes: &[u8], at: usize) -> String {
    let (from, to) = (at.saturating_sub(120), (at + 120).min(bytes.len()));
    String::from_utf8_lossy(&bytes[from..to]).into_owned()
}

/// A word as it is, encoded as in a form or a URL, as in a JSON string or an HTML page, and in the form for places
/// where case does not matter: a host name, a cron expression.
fn spellings(word: &str) -> Vec<String> {
    let form: String = url::form_urlencoded::byte_serialize(word.as_bytes()).collect();
    let json = Value::from(word).to_string();
    let escapes = [
        ("&", "&#38;"),
        ("<", "&#60;"),
        (">", "&#62;"),
        ("\"", "&#34;"),
        ("'", "&#39;"),
    ];
    let page = escapes
        .iter()
        .fold(word.to_owned(), |word, (from, to)| word.replace(from, to));
    let mut all = vec![
        word.to_owned(),
        form,
        json[1..json.len() - 1].to_owned(),
        page,
        word.to_lowercase(),
        word.to_uppercase(),
    ];
    all.sort();
    all.dedup();
    all
}
