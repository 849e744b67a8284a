use std::collections::HashSet;
use std::net::SocketAddr;

use url::Url;

use super::faults::Faults;
use super::section::section;
use super::values::Seconds;

section! {
    /// The APIs on the wire.
    pub struct Api = "api" {
        /// Where everything is served: the Image API at `/image`, the Block Storage API at `/volume`, Pumice's
        /// own at `/pumice/v1`, and `/healthz`, `/readyz` and `/metrics`.
        pub listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8080)), "address:port";
        /// Where the Image API is served as well, at `/`, as clients of Glance expect it; 9292 is its usual
        /// port.
        pub image_listen: Option<SocketAddr> = None, "address:port";
        /// Where the Block Storage API is served as well, at `/`, as clients of Cinder expect it; 8776 is its
        /// usual port.
        pub volume_listen: Option<SocketAddr> = None, "address:port";
        /// Where clients find Identity, as catalogue and refusals name it. Unset: what the request was sent to,
        /// and `/identity`.
        pub identity_public_endpoint: Option<String> = None, "URL";
        /// What links of the Image API start with. Unset: what the request was sent to, with the host of
        /// `X-Forwarded-Host` where there is one. To be set behind a proxy that ends TLS.
        pub image_public_endpoint: Option<String> = None, "URL";
        /// What links of the Block Storage API start with, likewise.
        pub volume_public_endpoint: Option<String> = None, "URL";
        /// Connections open at once. More are told that the service is busy (503 and `Retry-After`), but for `/healthz` and
        /// `/readyz`.
        pub max_connections: u32 = 1024, "connections";
        /// Requests being answered at once, image data excepted. More are refused at once, with 503 and `Retry-After`.
        pub max_requests: u32 = 512, "requests";
        /// Uploads and downloads of image data at once. More are refused likewise. Each upload may hold some 64 MiB.
        pub max_transfers: u32 = 64, "requests";
        /// Request line and headers of one request together.
        pub max_header_bytes: u32 = 65_536, "bytes";
        /// Body of one request to the Image API, image data excepted.
        pub max_image_body_bytes: u64 = 1_048_576, "bytes";
        /// Body of one request to the Block Storage API or to the Identity API.
        pub osapi_max_request_body_size: u64 = 114_688, "bytes";
        /// How long a client may take to send its headers.
        pub header_timeout: Seconds = Seconds(30), "seconds";
        /// How long a client may take nothing of an answer, until it is hung up on.
        pub send_timeout: Seconds = Seconds(60), "seconds";
        /// Fewer bytes a second than these, on average over `send_timeout`, are as good as nothing: whoever takes a byte
        /// now and then does not hold a place and an open image for ever. Time in which there is nothing to send does not
        /// count. `0`: a single byte is enough.
        pub send_min_rate: u32 = 1024, "bytes/second";
        /// How long a request may take, image data excepted.
        pub request_timeout: Seconds = Seconds(60), "seconds";
        /// How long requests may still run after the service was asked to stop.
        pub shutdown_timeout: Seconds = Seconds(30), "seconds";
    }
}

impl Api {
    /// Every address that is listened on, and the option that says so.
    pub(super) fn listeners(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let listeners = [
            ("api.listen", Some(self.listen)),
            ("api.image_listen", self.image_listen),
            ("api.volume_listen", self.volume_listen),
        ];
        listeners.into_iter().filter_map(|(option, address)| Some((option, address?)))
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        let mut seen = HashSet::new();
        for (option, address) in self.listeners() {
            // Port 0 lets the system choose, so it may stand there more than once.
            if address.port() != 0 {
                faults.require(seen.insert(address), option, "must be an address of its own", address);
            }
        }
        let endpoints = [
            ("api.identity_public_endpoint", &self.identity_public_endpoint),
            ("api.image_public_endpoint", &self.image_public_endpoint),
            ("api.volume_public_endpoint", &self.volume_public_endpoint),
        ];
        for (option, endpoint) in endpoints {
            if let Some(endpoint) = endpoint {
                let fits = Url::parse(endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
                faults.require(fits, option, "must be an http or https URL", endpoint);
            }
        }
        faults.require(self.max_connections > 0, "api.max_connections", "must be at least 1", 0);
        for (option, count) in
            [("api.max_requests", self.max_requests), ("api.max_transfers", self.max_transfers)]
        {
            faults.require((1..=1_000_000).contains(&count), option, "must be from 1 to 1000000", count);
        }
        // More than the server's buffer it would not read.
        let fits = (8_192..=524_288).contains(&self.max_header_bytes);
        faults.require(fits, "api.max_header_bytes", "must be from 8192 to 524288", self.max_header_bytes);
        let bodies = [
            ("api.max_image_body_bytes", self.max_image_body_bytes),
            ("api.osapi_max_request_body_size", self.osapi_max_request_body_size),
        ];
        for (option, bytes) in bodies {
            faults.require(
                (1_024..=1 << 30).contains(&bytes),
                option,
                "must be from 1024 to 1073741824",
                bytes,
            );
        }
        let times = [
            ("api.header_timeout", self.header_timeout),
            ("api.send_timeout", self.send_timeout),
            ("api.request_timeout", self.request_timeout),
            ("api.shutdown_timeout", self.shutdown_timeout),
        ];
        for (option, time) in times {
            faults.require(time.0 > 0, option, "must be at least 1", time.0);
        }
    }
}
