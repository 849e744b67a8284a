//! Asking a web server for bytes.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::filter::{Filter, Place, Refused};
use super::roots;
use crate::telemetry::chain;

/// Redirects that are followed.
const REDIRECTS: usize = 5;

#[derive(Clone, Debug)]
pub struct Options {
    /// How long a server may take to accept a connection and to begin its answer, and how long it may send nothing.
    pub answer_timeout: Duration,
    /// How long a download may take in all.
    pub whole_timeout: Duration,
    /// How often one that broke off is gone on with.
    pub resumptions: u32,
    /// The pause before the first time; it doubles.
    pub pause: Duration,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Web {
    pub filter: Filter,
    options: Options,
}

/// Texts for users: they do not repeat the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    #[error("The address may not be asked: {0}.")]
    Refused(#[from] Refused),
    #[error("The web server cannot be reached: {0}.")]
    Unreachable(String),
    #[error("The web server answers {0}.")]
    Status(u16),
    #[error("The web server sends its clients on too often, or to nowhere.")]
    Redirects,
    #[error("The web server broke off.")]
    BrokenOff,
    #[error("The web server sends nothing any more.")]
    Silent,
    #[error("The web server has other bytes now.")]
    Changed,
    #[error("The download takes too long.")]
    TooSlow,
}

impl WebError {
    /// Whether another try may go better.
    pub fn may_pass(&self) -> bool {
        match self {
            WebError::Unreachable(_) | WebError::BrokenOff | WebError::Silent | WebError::Changed => true,
            WebError::Status(code) => matches!(code, 408 | 429 | 500..),
            // Whoever knows names may be away for a moment as well.
            WebError::Refused(Refused::Unresolved) => true,
            WebError::Refused(_) | WebError::Redirects | WebError::TooSlow => false,
        }
    }
}

/// Whom a download is asked for.
#[derive(Clone)]
pub enum Asked {
    /// Anybody's web server, if its address may be asked.
    Anybody(String),
    /// A service of the cloud, wherever it is. What lies at its address never changes.
    Cloud(Box<OfTheCloud>),
}

#[derive(Clone)]
pub struct OfTheCloud {
    client: Client,
    url: String,
    token: HeaderValue,
}

impl Asked {
    pub(super) fn of_the_cloud(client: Client, url: String, token: HeaderValue) -> Self {
        Self::Cloud(Box::new(OfTheCloud { client, url, token }))
    }

    fn never_changes(&self) -> bool {
        matches!(self, Asked::Cloud(_))
    }
}

impl From<&str> for Asked {
    fn from(uri: &str) -> Self {
        Self::Anybody(uri.to_owned())
    }
}

/// A download that has begun.
pub struct Download {
    /// What the server promises, in bytes.
    pub length: Option<u64>,
    /// Ends after the first error.
    pub body: BoxStream<'static, Result<Bytes, WebError>>,
}

impl Web {
    pub fn new(filter: Filter, options: Options) -> Self {
        Self { filter, options }
    }

    /// Begins a download. One that breaks off is gone on with where it stopped, if the server can do that and says
    /// with an entity tag that the bytes are still the same.
    pub async fn get(&self, asked: impl Into<Asked>) -> Result<Download, WebError> {
        self.get_from(asked, 0).await
    }

    /// Likewise without the first bytes, whether the server can leave them out or not.
    pub async fn get_from(&self, asked: impl Into<Asked>, start: u64) -> Result<Download, WebError> {
        let asked = asked.into();
        let deadline = Instant::now() + self.options.whole_timeout;
        let mut headers = HeaderMap::new();
        if start > 0 {
            headers.insert(header::RANGE, range_from(start)?);
        }
        let response = self.ask(&asked, &headers).await?;
        let (at, length) = match (response.status(), part(&response)) {
            (StatusCode::OK, _) => (0, response.content_length()),
            (StatusCode::PARTIAL_CONTENT, Some(part)) if start > 0 && part.first == start => {
                (start, Some(part.whole))
            }
            (StatusCode::PARTIAL_CONTENT, _) => return Err(WebError::Changed),
            (other, _) => return Err(WebError::Status(other.as_u16())),
        };
        let tag = response.headers().get(header::ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"));
        let source = Source {
            tag: tag.cloned(),
            web: self.clone(),
            asked,
            response,
            at,
            length,
            resumptions: 0,
            deadline,
        };
        let body = stream::try_unfold(source, move |mut source| async move {
            loop {
                let Some(mut bytes) = source.next().await? else { return Ok(None) };
                // What is before the start was not left out.
                let early = start.saturating_sub(source.at - bytes.len() as u64).min(bytes.len() as u64);
                let bytes = bytes.split_off(usize::try_from(early).unwrap_or(usize::MAX));
                if !bytes.is_empty() {
                    return Ok(Some((bytes, source)));
                }
            }
        });
        Ok(Download { length, body: body.boxed() })
    }

    async fn ask(&self, asked: &Asked, headers: &HeaderMap) -> Result<Response, WebError> {
        match asked {
            Asked::Anybody(uri) => self.ask_anybody(uri, headers).await,
            Asked::Cloud(cloud) => {
                let OfTheCloud { client, url, token } = &**cloud;
                self.answer(client.get(url).header("x-auth-token", token).headers(headers.clone())).await
            }
        }
    }

    /// The answer at the end of all redirects, each of which is checked like the first address.
    async fn ask_anybody(&self, uri: &str, headers: &HeaderMap) -> Result<Response, WebError> {
        let mut place = self.filter.resolve(uri).await?;
        for _ in 0..=REDIRECTS {
            let response = self.ask_once(&place, headers).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let next = response.headers().get(header::LOCATION).and_then(|next| next.to_str().ok());
            let next = next.and_then(|next| place.url.join(next).ok()).ok_or(WebError::Redirects)?;
            place = self.filter.resolve(next.as_str()).await?;
        }
        Err(WebError::Redirects)
    }

    /// A client a request: it knows the addresses of this one host, and asks nobody for others.
    async fn ask_once(&self, place: &Place, headers: &HeaderMap) -> Result<Response, WebError> {
        let mut client = roots::builder()
            .map_err(|error| WebError::Unreachable(error.to_string()))?
            .connect_timeout(self.options.answer_timeout)
            .user_agent(concat!("pumice/", env!("CARGO_PKG_VERSION")));
        if let Some(host) = place.url.domain() {
            client = client.resolve_to_addrs(host, &place.at);
        }
        let client = client.build().map_err(unreachable)?;
        self.answer(client.get(place.url.clone()).headers(headers.clone())).await
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, WebError> {
        match timeout(self.options.answer_timeout, request.send()).await {
            Ok(answer) => answer.map_err(unreachable),
            Err(_) => Err(WebError::Unreachable("it does not answer".to_owned())),
        }
    }
}

/// Without the address, which may hold a secret.
fn unreachable(error: reqwest::Error) -> WebError {
    WebError::Unreachable(chain(&error.without_url()))
}

/// Where a download is read from, over all its breaks.
struct Source {
    web: Web,
    asked: Asked,
    response: Response,
    /// Bytes that were read.
    at: u64,
    length: Option<u64>,
    /// Names the bytes, if they have a name.
    tag: Option<HeaderValue>,
    resumptions: u32,
    deadline: Instant,
}

impl Source {
    async fn next(&mut self) -> Result<Option<Bytes>, WebError> {
        let patience = self.web.options.answer_timeout;
        loop {
            // A connection that is open and silent would be waited for until the deadline, which is hours away.
            match timeout_at(self.deadline, timeout(patience, self.response.chunk())).await {
                Err(_) => return Err(WebError::TooSlow),
                Ok(Err(_)) => return Err(WebError::Silent),
                Ok(Ok(Ok(Some(bytes)))) => {
                    self.at += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Ok(Ok(Ok(None))) => return Ok(None),
                Ok(Ok(Err(error))) => {
                    tracing::info!(error = %unreachable(error), "a download broke off");
                    self.resume().await?;
                }
            }
        }
    }

    async fn resume(&mut self) -> Result<(), WebError> {
        if self.tag.is_none() && !self.asked.never_changes() {
            return Err(WebError::BrokenOff);
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range_from(self.at)?);
        if let Some(tag) = &self.tag {
            headers.insert(header::IF_RANGE, tag.clone());
        }
        while self.resumptions < self.web.options.resumptions {
            let pause = self.web.options.pause * 2u32.saturating_pow(self.resumptions.min(6));
            self.resumptions += 1;
            if timeout_at(self.deadline, sleep(pause)).await.is_err() {
                return Err(WebError::TooSlow);
            }
            match self.web.ask(&self.asked, &headers).await {
                Ok(response) if response.status() == StatusCode::PARTIAL_CONTENT => {
                    let is_tagged = |tag| response.headers().get(header::ETAG) == Some(tag);
                    if !self.goes_on(&response) || !self.tag.as_ref().is_none_or(is_tagged) {
                        return Err(WebError::Changed);
                    }
                    self.response = response;
                    return Ok(());
                }
                Ok(response) if response.status().is_success() => return Err(WebError::Changed),
                Ok(response) => {
                    tracing::info!(status = %response.status(), "a download is not gone on with yet")
                }
                Err(error) if error.may_pass() => {
                    tracing::info!(%error, "a download is not gone on with yet");
                }
                Err(error) => return Err(error),
            }
        }
        Err(WebError::BrokenOff)
    }

    /// Whether a part begins where the last one ended, and ends with the whole.
    fn goes_on(&self, response: &Response) -> bool {
        part(response).is_some_and(|part| {
            part.first == self.at && self.length.is_none_or(|length| length == part.whole)
        })
    }
}

fn range_from(start: u64) -> Result<HeaderValue, WebError> {
    HeaderValue::from_str(&format!("bytes={start}-")).map_err(|_| WebError::BrokenOff)
}

/// A part of the whole, up to its end.
struct Part {
    first: u64,
    whole: u64,
}

fn part(response: &Response) -> Option<Part> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, whole): (u64, u64, u64) =
        (first.parse().ok()?, last.parse().ok()?, whole.parse().ok()?);
    (last.checked_add(1) == Some(whole) && first <= last).then_some(Part { first, whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_names_may_be_away_for_a_moment() {
        assert!(WebError::Refused(Refused::Unresolved).may_pass());
        assert!(!WebError::Refused(Refused::NotPublic).may_pass());
    }
}
