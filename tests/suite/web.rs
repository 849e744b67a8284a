//! Downloads from a web server that behaves as servers do: it breaks off, sends its clients on, changes its mind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use pumice::web::{Filter, Lists, Options, Refused, Web, WebError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers the requests that come, in order, each with what is to be written before the connection is closed. The
/// requests themselves can be looked at.
async fn serve(answers: Vec<Vec<u8>>) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/disk.img", listener.local_addr().unwrap());
    let requests = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = requests.clone();
    tokio::spawn(async move {
        let next = AtomicUsize::new(0);
        while let Ok((mut connection, _)) = listener.accept().await {
            let request = read_request(&mut connection).await;
            noted.lock().unwrap().push(String::from_utf8(request).unwrap().to_ascii_lowercase());
            let answer = answers.get(next.fetch_add(1, Ordering::SeqCst));
            connection.write_all(answer.map_or(b"", Vec::as_slice)).await.unwrap();
        }
    });
    (address, requests)
}

async fn read_request(connection: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(connection.read_u8().await.unwrap());
    }
    request
}

fn web(hosts: &[&str]) -> Web {
    web_within(hosts, Duration::from_secs(60))
}

fn web_within(hosts: &[&str], whole_timeout: Duration) -> Web {
    web_with(hosts, whole_timeout, Duration::from_secs(30))
}

fn web_with(hosts: &[&str], whole_timeout: Duration, answer_timeout: Duration) -> Web {
    let filter = Filter {
        schemes: Lists::default(),
        hosts: Lists {
            allowed: hosts.iter().map(|host| (*host).to_owned()).collect(),
            disallowed: Vec::new(),
        },
        ports: Lists::default(),
    };
    let options = Options { answer_timeout, whole_timeout, resumptions: 2, pause: Duration::ZERO };
    Web::new(filter, options)
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {}\r\n\r\n{body}", head.replace('\n', "\r\n")).into_bytes()
}

/// All bytes, or the error that came instead.
async fn fetched(uri: &str) -> Result<String, WebError> {
    let mut download = web(&["127.0.0.1"]).get(uri).await?;
    let mut all = Vec::new();
    while let Some(bytes) = download.body.next().await {
        all.extend_from_slice(&bytes?);
    }
    Ok(String::from_utf8(all).unwrap())
}

/// One that never comes to its end, whatever it sends.
#[tokio::test]
async fn a_download_takes_no_longer_than_it_may() {
    for trickles in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/disk.img", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            read_request(&mut connection).await;
            connection.write_all(&answer("200 OK\nContent-Length: 1000000000", "0")).await.unwrap();
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            while !trickles || connection.write_all(b"1").await.is_ok() {
                pace.tick().await;
            }
        });
        let web = web_within(&["127.0.0.1"], Duration::from_secs(1));
        let mut download = web.get(&*uri).await.unwrap();
        let mut last = None;
        while let Some(bytes) = download.body.next().await {
            last = Some(bytes);
        }
        assert_eq!(last, Some(Err(WebError::TooSlow)), "{trickles}");
    }
}

/// One that stays open and sends nothing any more is not waited for as long as a download may take.
#[tokio::test]
async fn who_is_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/disk.img", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_request(&mut connection).await;
        connection.write_all(&answer("200 OK\nContent-Length: 10\nETag: \"a\"", "0123")).await.unwrap();
        std::future::pending::<()>().await;
    });
    let web = web_with(&["127.0.0.1"], Duration::from_secs(60), Duration::from_millis(500));
    let mut download = web.get(&*uri).await.unwrap();
    let first = download.body.next().await;
    assert_eq!(first, Some(Ok("0123".into())));
    assert_eq!(download.body.next().await, Some(Err(WebError::Silent)));
    assert!(download.body.next().await.is_none());
    assert!(WebError::Silent.may_pass());
}

#[tokio::test]
async fn a_download_that_broke_off_is_gone_on_with() {
    let (uri, requests) = serve(vec![
        answer("200 OK\nContent-Length: 10\nETag: \"a\"", "0123"),
        answer("503 Service Unavailable\nContent-Length: 0", ""),
        answer("206 Partial Content\nContent-Length: 6\nContent-Range: bytes 4-9/10\nETag: \"a\"", "456789"),
    ])
    .await;
    assert_eq!(fetched(&uri).await, Ok("0123456789".to_owned()));
    let requests = requests.lock().unwrap();
    assert!(!requests[0].contains("range:"), "{}", requests[0]);
    for request in &requests[1..] {
        assert!(request.contains("\r\nrange: bytes=4-\r\n"), "{request}");
        assert!(request.contains("\r\nif-range: \"a\"\r\n"), "{request}");
    }
}

#[tokio::test]
async fn bytes_of_two_files_are_never_mixed() {
    let begun = answer("200 OK\nContent-Length: 10\nETag: \"a\"", "0123");
    for (next, error) in [
        (answer("200 OK\nContent-Length: 10\nETag: \"b\"", "abcdefghij"), WebError::Changed),
        (
            answer(
                "206 Partial Content\nContent-Length: 6\nContent-Range: bytes 4-9/10\nETag: \"b\"",
                "456789",
            ),
            WebError::Changed,
        ),
        (
            answer(
                "206 Partial Content\nContent-Length: 7\nContent-Range: bytes 3-9/10\nETag: \"a\"",
                "3456789",
            ),
            WebError::Changed,
        ),
        (
            answer(
                "206 Partial Content\nContent-Length: 7\nContent-Range: bytes 4-10/11\nETag: \"a\"",
                "4567890",
            ),
            WebError::Changed,
        ),
        (answer("404 Not Found\nContent-Length: 0", ""), WebError::BrokenOff),
    ] {
        let (uri, _) = serve(vec![begun.clone(), next.clone(), next]).await;
        assert_eq!(fetched(&uri).await, Err(error));
    }
    // Bytes without a name, or with one that does not promise each of them.
    for head in ["200 OK\nContent-Length: 10", "200 OK\nContent-Length: 10\nETag: W/\"a\""] {
        let (uri, _) = serve(vec![answer(head, "0123")]).await;
        assert_eq!(fetched(&uri).await, Err(WebError::BrokenOff));
    }
}

#[tokio::test]
async fn redirects_are_checked_like_the_first_address() {
    let redirect = |to: &str| answer(&format!("302 Found\nContent-Length: 0\nLocation: {to}"), "");
    let whole = answer("200 OK\nContent-Length: 2", "ok");
    let (uri, _) = serve(vec![redirect("/other.img"), whole]).await;
    assert_eq!(fetched(&uri).await, Ok("ok".to_owned()));
    for (to, refused) in [
        ("http://localhost/", Refused::Host),
        ("http://169.254.169.254/latest/meta-data", Refused::Host),
        ("file:///etc/passwd", Refused::Scheme),
        ("http://u:p@127.0.0.1/", Refused::Credentials),
    ] {
        let (uri, _) = serve(vec![redirect(to)]).await;
        assert_eq!(fetched(&uri).await, Err(WebError::Refused(refused)), "{to}");
    }
    let (uri, _) = serve(vec![redirect("/again"); 10]).await;
    assert_eq!(fetched(&uri).await, Err(WebError::Redirects));
    let (uri, _) = serve(vec![answer("302 Found\nContent-Length: 0", "")]).await;
    assert_eq!(fetched(&uri).await, Err(WebError::Redirects));
}

#[tokio::test]
async fn errors_do_not_repeat_the_address() {
    let (uri, _) = serve(vec![answer("403 Forbidden\nContent-Length: 0", "")]).await;
    assert_eq!(fetched(&uri).await, Err(WebError::Status(403)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let error = fetched(&format!("http://{closed}/?token=secret")).await.unwrap_err();
    assert!(matches!(error, WebError::Unreachable(_)), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let error = web(&[]).get(uri.as_str()).await.err();
    assert_eq!(error, Some(WebError::Refused(Refused::NotPublic)));
}
