//! Bytes from other people's web servers: which addresses may be asked at all, and asking them.
//!
//! Whoever may import an image names an address, and this service asks it from inside of the operator's network. So
//! names are resolved here, once, the connection goes to the address that was checked, and redirects are followed by
//! checking again.

mod fetch;
mod filter;

pub use fetch::{Download, Options, Web, WebError};
pub use filter::{Filter, Lists, Refused, plain};
