//! What a client wrote into its address bar.

use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;

use crate::config::Config;

/// Host and port of a request: as a proxy in front of us says, as the request says, or where we listen.
/// What is no host and port is passed over, for it ends up in links and headers.
pub fn host(config: &Config, parts: &Parts) -> String {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded = header("x-forwarded-host").and_then(|hosts| hosts.rsplit(',').next()).map(str::trim);
    let absolute = parts.uri.authority().map(Authority::as_str);
    [forwarded, absolute, header(HOST.as_str())]
        .into_iter()
        .flatten()
        .find(|host| is_host(host))
        .map_or_else(|| config.api.listen.to_string(), str::to_owned)
}

/// A name and a password are none of a link's.
fn is_host(text: &str) -> bool {
    !text.contains('@') && text.parse::<Authority>().is_ok()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn only_what_is_a_host_is_taken_for_one() {
        let config = Config::default();
        let host_in = |uri: &str, headers: &[(&str, &str)]| {
            let mut request = Request::get(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            host(&config, &request.body(()).unwrap().into_parts().0)
        };
        let host_of = |headers: &[(&str, &str)]| host_in("/", headers);
        // As the standard has it for a request line with a whole URL.
        assert_eq!(host_in("http://one.example/", &[("host", "another.example")]), "one.example");
        assert_eq!(host_of(&[("host", "cloud.example:8080")]), "cloud.example:8080");
        let behind_proxies = [("host", "inner"), ("x-forwarded-host", "far.example, near.example")];
        assert_eq!(host_of(&behind_proxies), "near.example");
        for forged in ["a\" b=\"c", "user:secret@evil.example", "", "a/b"] {
            assert_eq!(host_of(&[("host", "good"), ("x-forwarded-host", forged)]), "good", "{forged}");
        }
        assert_eq!(host_of(&[]), "127.0.0.1:8080");
    }
}
