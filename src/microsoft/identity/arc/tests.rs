use std::fs;

use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;

use super::*;

fn asks_for(realm: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Basic realm={realm}"));
    HeaderMap::from_iter([(WWW_AUTHENTICATE, value.unwrap())])
}

async fn read(name: &str, content: &[u8]) -> Result<SecretString, Failure> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), content).unwrap();
    let file = folder.path().join(name);
    key(&asks_for(&file.display().to_string()), folder.path()).await
}

#[tokio::test]
async fn the_key_is_the_content_of_a_small_file_of_the_agent() {
    for content in ["c2VjcmV0LUNBTkFSWQ==", "c2VjcmV0LUNBTkFSWQ==\r\n"] {
        let key = read("a.key", content.as_bytes()).await.unwrap();
        assert_eq!(key.expose_secret(), content.trim_end());
    }
    let most = vec![b'a'; 4096];
    assert!(read("a.key", &most).await.is_ok());
    for (content, why) in [
        (vec![b'a'; 4097], "is larger than 4096 bytes"),
        (Vec::new(), "is empty"),
        (b"CANARY\nCANARY".to_vec(), "more than one line"),
        (b"CANARY CANARY".to_vec(), "does not hold a key"),
    ] {
        let failure = read("a.key", &content).await.unwrap_err();
        assert!(failure.what.contains(why), "{failure:?}");
        assert!(failure.remedy.contains("azcmagent show"), "{failure:?}");
        assert!(!format!("{failure:?}").contains("CANARY"), "{failure:?}");
    }
}

#[tokio::test]
async fn no_other_file_than_one_of_the_agent_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("tokens");
    fs::create_dir(&inside).unwrap();
    for path in [
        folder.path().join("a.key"),
        inside.join("a.pem"),
        inside.join(".key"),
    ] {
        fs::write(path, "CANARY").unwrap();
    }
    let at = inside.display();
    for realm in [
        format!("{at}/../a.key"),
        format!("{at}/../tokens/../a.key"),
        format!("{at}/a.pem"),
        format!("{at}/.key"),
        format!("{at}/a.key/"),
        format!("{at}/deeper/a.key"),
        format!("{at}x/a.key"),
        "a.key".to_owned(),
        "/etc/shadow".to_owned(),
        "/proc/self/environ".to_owned(),
        "\"\"".to_owned(),
    ] {
        let failure = key(&asks_for(&realm), &inside).await.unwrap_err();
        assert_eq!(failure.health, Health::Credential, "{realm}");
        let refused = failure.what.contains("so it is not read") || realm == format!("{at}/a.key/");
        assert!(refused, "{realm}: {failure:?}");
        assert!(!format!("{failure:?}").contains("CANARY"), "{failure:?}");
    }
    for headers in [
        HeaderMap::new(),
        HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))]),
        HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"))]),
    ] {
        let failure = key(&headers, &inside).await.unwrap_err();
        assert!(failure.what.contains("names no key file"), "{failure:?}");
        assert!(failure.remedy.contains("IDENTITY_ENDPOINT"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_there_or_not_for_this_user_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("absent.key");
    let headers = asks_for(&file.display().to_string());
    let absent = key(&headers, folder.path()).await.unwrap_err();
    assert!(absent.what.contains("absent.key") && absent.what.contains("can't be read"));
    assert!(absent.remedy.contains("azcmagent show"), "{absent:?}");
    let forbidden = not_of_the_group("a.key", "can't be read: Permission denied");
    assert!(forbidden.remedy.contains("group himds"), "{forbidden:?}");
}
