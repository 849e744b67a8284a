//! What the listening ports answer to those who do not speak as clients do, and TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509Builder, X509NameBuilder};
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{DatabaseKind, StoreKind};
use crate::process::{PATIENCE, Place, Server};

async fn server() -> (Place, Server) {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server = place.start_with(&[("PUMICE_API__HEADER_TIMEOUT", "1")]);
    (place, server)
}

fn connect(server: &Server) -> TcpStream {
    let (_, address) = server.url.split_once("://").unwrap();
    let stream = TcpStream::connect(address.to_socket_addrs().unwrap().next().unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that comes until the service closes the connection, which it must.
fn all(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        // It closed while there was something it had not read.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        read => drop(read.unwrap()),
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The statuses of all answers to these bytes.
fn statuses(server: &Server, bytes: &[u8]) -> Vec<u16> {
    let mut stream = connect(server);
    stream.write_all(bytes).unwrap();
    let text = all(stream);
    // HTTP/1.0 is answered in kind; and what goes on is no answer yet.
    let answers = text.match_indices("HTTP/1.");
    let answers = answers.map(|(at, start)| text[at + start.len() + 2..][..3].parse().unwrap());
    answers.filter(|status| *status >= 200).collect()
}

/// A request that is no use to anyone but whom it was smuggled past.
const SECOND: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn where_a_request_ends_is_never_in_doubt() {
    let (_place, server) = server().await;
    let get = "GET /healthz HTTP/1.1\r\nHost: x\r\n";
    assert_eq!(statuses(&server, format!("{get}\r\n{SECOND}").as_bytes()), [200, 200]);
    // Both lengths: one answer, and nothing that follows is a request.
    for both in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 4"]
    {
        let sent = format!("{get}{both}\r\n\r\n0\r\n\r\n{SECOND}");
        assert_eq!(statuses(&server, sent.as_bytes()), [200], "{both}");
    }
    for headers in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1, 2",
        "Content-Length: +1",
        "Content-Length: -1",
        "Content-Length: 0x1",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Content-Length : 1",
        "Transfer-Encoding\u{b}: chunked",
        "X: a\r\n folded",
        "X: a\rb",
        "X: a\0b",
        "no colon",
        ": no name",
    ] {
        let sent = format!("{get}{headers}\r\n\r\n0\r\n\r\n{SECOND}");
        assert_eq!(statuses(&server, sent.as_bytes()), [400], "{headers:?}");
    }
    for headers in ["Content-Length: 0\r\nContent-Length: 0", "Content-Length: 0, 0"] {
        let found = statuses(&server, format!("{get}{headers}\r\n\r\n{SECOND}").as_bytes());
        assert!(matches!(found[..], [200, 200] | [400]), "{headers:?}: {found:?}");
    }
    let two_hosts = format!("{get}Host: y\r\n\r\n{SECOND}");
    assert_eq!(statuses(&server, two_hosts.as_bytes()), [400, 200]);
    let old = format!("GET /healthz HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SECOND}");
    assert_eq!(statuses(&server, old.as_bytes()), [400]);
    for line in [
        "GET /a b HTTP/1.1",
        "GET /a\0b HTTP/1.1",
        "GET /a\u{7f}b HTTP/1.1",
        "GET /healthz\tHTTP/1.1",
        "GET  /healthz HTTP/1.1",
        "GET http:///healthz HTTP/1.1",
        "GET /healthz HTTP/3.1",
        "G\0T / HTTP/1.1",
        "GET",
    ] {
        let found = statuses(&server, format!("{line}\r\nHost: x\r\n\r\n{SECOND}").as_bytes());
        assert_eq!(found, [400], "{line:?}");
    }
    // The standard lets a server take a line feed alone for the end of a line.
    assert_eq!(statuses(&server, SECOND.replace("\r\n", "\n").as_bytes()), [200]);
    server.stop();
}

/// What is sent as a body is never a request, whether somebody wanted it or not, and whatever the client expects.
#[tokio::test]
async fn a_body_that_nobody_reads_is_no_request() {
    let (_place, server) = server().await;
    let length = format!("Content-Length: {}", SECOND.len());
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{SECOND}\r\n0\r\n", SECOND.len());
    for line in
        ["GET /healthz", "GET /nothing", "POST /healthz", "PUT /image/v2/images/x/file", "HEAD /healthz"]
    {
        for expect in [
            "",
            "Expect: 100-continue\r\n",
            "Expect: 100-continue\r\nExpect: 100-continue\r\n",
            "Expect: 200-ok\r\n",
            "Expect: 100-continue, 200-ok\r\n",
            "Expect:\r\n",
        ] {
            for version in ["1.0", "1.1"] {
                let head = format!("{line} HTTP/{version}\r\nHost: x\r\n{expect}");
                let mut requests = vec![format!("{head}{length}\r\n\r\n{SECOND}{SECOND}")];
                if version == "1.1" {
                    requests.push(format!("{head}{chunked}\r\n{SECOND}"));
                }
                for request in requests {
                    let found = statuses(&server, request.as_bytes());
                    let rest = found.get(1..).unwrap_or_default();
                    // The rest was read as what it is, or not at all.
                    assert!(matches!(rest, [] | [200]) && !found.is_empty(), "{request}: {found:?}");
                }
            }
        }
    }
    server.stop();
}

/// A client of HTTP/1.0 must ask for the connection to stay, and knows of nothing else.
#[tokio::test]
async fn old_clients_get_what_they_know() {
    let (_place, server) = server().await;
    for (headers, expected) in [
        ("", &[200][..]),
        ("Connection: keep-alive\r\n", &[200, 200]),
        ("Connection: keep-alive\r\nConnection: close\r\n", &[200]),
        ("Connection: close\r\nConnection: keep-alive\r\n", &[200]),
        ("Connection: keep-alive, close\r\n", &[200]),
    ] {
        let sent = format!("GET /healthz HTTP/1.0\r\n{headers}\r\n{SECOND}");
        assert_eq!(statuses(&server, sent.as_bytes()), expected, "{headers:?}");
    }
    let mut stream = connect(&server);
    stream
        .write_all(
            b"POST /volume/v3/volumes HTTP/1.0\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n\
            Content-Length: 2\r\n\r\n{}",
        )
        .unwrap();
    let answer = all(stream);
    assert!(answer.starts_with("HTTP/1.0 400") && !answer.contains("chunked"), "{answer}");
    server.stop();
}

/// What comes behind the last chunk is no header of anything.
#[tokio::test]
async fn trailers_change_nothing() {
    let (_place, server) = server().await;
    let post = "POST /volume/v3/volumes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    for trailers in [
        "",
        "X: y\r\n",
        "Host: y\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "OpenStack-API-Version: volume 9.9\r\n",
    ] {
        let sent =
            format!("{post}Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{{}}\r\n0\r\n{trailers}\r\n{SECOND}");
        assert_eq!(statuses(&server, sent.as_bytes()), [400, 200], "{trailers:?}");
    }
    server.stop();
}

#[tokio::test]
async fn chunks_that_are_none_end_the_connection() {
    let (_place, server) = server().await;
    let post = "POST /volume/v3/volumes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let long = "x".repeat(20_000);
    for chunks in [
        "fffffffffffffffff\r\n{}",
        "-1\r\n{}",
        "+2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "2;\n{}\r\n0\r\n\r\n",
        "2\r\n{}xx0\r\n\r\n",
        // Extensions and trailers have bounds.
        &format!("2;{long}\r\n{{}}\r\n0\r\n\r\n"),
        &format!("2\r\n{{}}\r\n0\r\nX: {long}\r\n\r\n"),
        &format!("2\r\n{{}}\r\n0\r\n{}\r\n", "X: y\r\n".repeat(200)),
    ] {
        let sent = format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunks}{SECOND}");
        let found = statuses(&server, sent.as_bytes());
        assert!(found.len() <= 1 && found.iter().all(|status| *status == 400), "{chunks:?}: {found:?}");
    }
    server.stop();
}

/// A path is what it is: nothing is resolved, so nothing is reached by a detour.
#[tokio::test]
async fn paths_are_not_resolved() {
    let (_place, server) = server().await;
    let id = "00000000-0000-0000-0000-000000000001";
    for path in [
        "/image/../healthz".to_owned(),
        "/image/v2/../../healthz".to_owned(),
        "/image/v2/images/../../../healthz".to_owned(),
        "/image/v2/images/%2e%2e/%2e%2e/healthz".to_owned(),
        "/image/v2/images/..%2f..%2f..%2fhealthz".to_owned(),
        format!("/image/v2/images/{id}%2ffile"),
        format!("/image/v2/images/{id}%00"),
        format!("/image/v2/images/{id}/file/../../../../healthz"),
        "/volume/v3/volumes/%00".to_owned(),
        "/volume/v3/volumes/%c0%ae%c0%ae%c0%af".to_owned(),
        "/volume/v3/volumes/%ff".to_owned(),
        "/volume/v3/volumes/%".to_owned(),
        "/openapi/..%2fimage.json".to_owned(),
        "/openapi/%2fetc%2fpasswd".to_owned(),
        "//healthz".to_owned(),
        "/./healthz".to_owned(),
        "/%68ealthz".to_owned(),
        "/healthz%00".to_owned(),
        "/healthz/".to_owned(),
        "/HEALTHZ".to_owned(),
        "/healthz;x=1".to_owned(),
        "/;/healthz".to_owned(),
        "/volume/v3/volumes;/../../healthz".to_owned(),
        "/image/v2/images/..;/..;/healthz".to_owned(),
        "/image/..%5c..%5chealthz".to_owned(),
        "http://x/image/../healthz".to_owned(),
        "http://x//healthz".to_owned(),
        "http://x/%68ealthz".to_owned(),
        "http://x".to_owned(),
        "healthz".to_owned(),
        "*".to_owned(),
    ] {
        let found = statuses(
            &server,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
        );
        // 300: the Image API lists its versions to those who ask for none of them.
        assert!(matches!(found[..], [300 | 400 | 404]), "{path}: {found:?}");
    }
    server.stop();
}

/// As a proxy is asked: it is the path that counts, and not who is meant.
#[tokio::test]
async fn a_whole_url_is_a_path_with_a_host() {
    let (_place, server) = server().await;
    for url in ["http://x/healthz", "https://other.example:1/healthz?a=b", "HTTP://X/healthz"] {
        let sent = format!("GET {url} HTTP/1.1\r\nHost: y\r\nConnection: close\r\n\r\n");
        assert_eq!(statuses(&server, sent.as_bytes()), [200], "{url}");
    }
    for line in ["CONNECT x:80", "CONNECT /healthz", "OPTIONS *"] {
        let sent = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let found = statuses(&server, sent.as_bytes());
        assert!(matches!(found[..], [400 | 404 | 405]), "{line}: {found:?}");
    }
    server.stop();
}

#[tokio::test]
async fn headers_have_bounds() {
    let (_place, server) = server().await;
    let request =
        |headers: String| format!("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let large = |bytes: usize| request(format!("X: {}\r\n", "x".repeat(bytes)));
    assert_eq!(statuses(&server, large(60_000).as_bytes()), [200]);
    assert_eq!(statuses(&server, large(70_000).as_bytes()), [431]);
    let many = (0..120).map(|i| format!("X-{i}: x\r\n")).collect();
    assert_eq!(statuses(&server, request(many).as_bytes()), [431]);
    let path = format!("GET /{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "x".repeat(70_000));
    assert_eq!(statuses(&server, path.as_bytes()), [414]);
    // Without an end: it is not waited for.
    let mut stream = connect(&server);
    let mut sent = 0;
    while stream.write_all(&[b'x'; 1 << 16]).is_ok() {
        sent += 1 << 16;
        assert!(sent < 64 << 20, "everything is taken");
    }
    assert_eq!(statuses(&server, SECOND.as_bytes()), [200]);
    server.stop();
}

/// Who sends slowly, or nothing, is let go, and keeps nobody waiting.
#[tokio::test]
async fn slow_clients_are_let_go() {
    let (_place, server) = server().await;
    let slow: Vec<_> = ["", "GET", "GET /healthz HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\nX: "]
        .iter()
        .cycle()
        .take(40)
        .map(|beginning| {
            let mut stream = connect(&server);
            stream.write_all(beginning.as_bytes()).unwrap();
            stream
        })
        .collect();
    assert_eq!(statuses(&server, SECOND.as_bytes()), [200]);
    for stream in slow {
        let answer = all(stream);
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    server.stop();
}

/// The first bytes of what comes, at least to the end of its headers.
fn head(stream: &mut TcpStream) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

/// Beyond so many connections a client is told at once, and when to come again; how it is, the service says still.
#[tokio::test]
async fn there_is_room_for_so_many_connections() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server =
        place.start_with(&[("PUMICE_API__MAX_CONNECTIONS", "2"), ("PUMICE_API__HEADER_TIMEOUT", "600")]);
    let request = b"GET /image/v2/images HTTP/1.1\r\nHost: x\r\n\r\n";
    let sit = || {
        let mut stream = connect(&server);
        stream.write_all(request).unwrap();
        stream
    };
    let mut seated = [sit(), sit()];
    for stream in &mut seated {
        assert!(head(stream).starts_with("HTTP/1.1 200"));
    }
    let refused = all(sit());
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 5\r\n"), "{refused}");
    assert_eq!(statuses(&server, SECOND.as_bytes()), [200]);
    drop(seated);
    until(&server, "room again", async || head(&mut sit()).starts_with("HTTP/1.1 200")).await;
    server.stop();
}

/// Who asks for an image and does not take it, keeps nobody else from theirs.
#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_let_go() {
    const SIZE: usize = 64 << 20;
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server = place.start_with(&[("PUMICE_API__SEND_TIMEOUT", "1"), ("PUMICE_API__MAX_TRANSFERS", "1")]);
    let body = json!({"disk_format": "raw", "container_format": "bare"});
    let (status, image) = server.send(Method::POST, "/image/v2/images", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED);
    let id = image["id"].as_str().unwrap();
    assert_eq!(server.try_upload(id, vec![1; SIZE]).await.unwrap(), StatusCode::NO_CONTENT);
    let request = format!("GET /image/v2/images/{id}/file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let ask = || {
        let mut stream = connect(&server);
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let mut idle = ask();
    assert!(head(&mut idle).starts_with("HTTP/1.1 200"));
    assert!(head(&mut ask()).starts_with("HTTP/1.1 503"));
    until(&server, "room again", async || head(&mut ask()).starts_with("HTTP/1.1 200")).await;
    assert!(all(idle).len() < SIZE);
    server.stop();
}

/// Events have no end of their own.
#[tokio::test]
async fn who_follows_events_keeps_no_process_from_ending() {
    let place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let server = place.start_with(&[("PUMICE_API__SHUTDOWN_TIMEOUT", "3600")]);
    let mut stream = connect(&server);
    stream.write_all(b"GET /pumice/v1/jobs/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(head(&mut stream).starts_with("HTTP/1.1 200"));
    server.stop();
}

/// Nor who has not even begun to speak TLS.
#[tokio::test]
async fn who_says_nothing_keeps_no_process_from_ending() {
    let mut place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let certificate = write_certificate(place.folder.path());
    for (option, file) in [("PUMICE_SSL__CERT_FILE", "cert.pem"), ("PUMICE_SSL__KEY_FILE", "key.pem")] {
        place.options.push((option, place.folder.path().join(file).display().to_string()));
    }
    let long = "3600".to_owned();
    place.options.push(("PUMICE_API__HEADER_TIMEOUT", long.clone()));
    place.options.push(("PUMICE_API__SHUTDOWN_TIMEOUT", long));
    let server = place.start();
    let silent = connect(&server);
    // It was taken when one that came later is answered.
    let url = server.url.replace("127.0.0.1", "localhost");
    let answer = client(&certificate).get(format!("{url}/healthz")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    server.stop();
    assert_eq!(all(silent), "");
}

/// A certificate that vouches for itself, and its key, as files.
fn write_certificate(folder: &Path) -> Certificate {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, "localhost").unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(64, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    let names =
        SubjectAlternativeName::new().dns("localhost").build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let pem = builder.build().to_pem().unwrap();
    std::fs::write(folder.join("cert.pem"), &pem).unwrap();
    std::fs::write(folder.join("key.pem"), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    Certificate::from_pem(&pem).unwrap()
}

/// Who believes this certificate and no other.
fn client(certificate: &Certificate) -> Client {
    Client::builder().no_proxy().timeout(PATIENCE).tls_certs_only([certificate.clone()]).build().unwrap()
}

async fn until(server: &Server, what: &str, is_so: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}:\n{}", server.log());
}

#[tokio::test]
async fn the_ports_speak_tls_and_a_hangup_replaces_the_certificate() {
    let mut place = Place::new(StoreKind::Directory, DatabaseKind::Sqlite).await;
    let folder = place.folder.path().to_owned();
    let first = write_certificate(&folder);
    let file = |name: &str| folder.join(name).display().to_string();
    place.options.push(("PUMICE_SSL__CERT_FILE", file("cert.pem")));
    place.options.push(("PUMICE_SSL__KEY_FILE", file("key.pem")));
    let server = place.start_with(&[("PUMICE_API__HEADER_TIMEOUT", "1")]);
    let url = server.url.replace("127.0.0.1", "localhost");
    assert!(url.starts_with("https://"), "{url}");

    let versions: Value =
        client(&first).get(format!("{url}/image/")).send().await.unwrap().json().await.unwrap();
    let link = versions["versions"][0]["links"][0]["href"].as_str().unwrap();
    assert!(link.starts_with("https://localhost:"), "{link}");
    // What is no TLS gets no HTTP.
    assert_eq!(statuses(&server, SECOND.as_bytes()), Vec::<u16>::new());
    // And who says nothing is let go.
    assert_eq!(all(connect(&server)), "");
    // The commands beside it know how to ask.
    let listen = server.url.replace("https://", "");
    for arguments in [&["health"][..], &["health", "--ready"], &["jobs"]] {
        let output = place.command(arguments).env("PUMICE_API__LISTEN", &listen).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    let asks = async |certificate: &Certificate| {
        client(certificate)
            .get(format!("{url}/healthz"))
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
    };
    let second = write_certificate(&folder);
    assert!(!asks(&second).await);
    server.hang_up();
    until(&server, "the certificate is not replaced", async || asks(&second).await).await;
    assert!(!asks(&first).await);

    std::fs::write(folder.join("key.pem"), "nothing").unwrap();
    server.hang_up();
    let is_said = async || server.log().contains("the certificate stays as it was");
    until(&server, "a bad file is not heard of", is_said).await;
    assert!(asks(&second).await);
    server.stop();

    // The key of another certificate.
    let key = std::fs::read(folder.join("key.pem")).unwrap();
    write_certificate(&folder);
    std::fs::write(folder.join("key.pem"), key).unwrap();
    let output = place.command(&["serve"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("ssl.key_file"), "{output:?}");
}
