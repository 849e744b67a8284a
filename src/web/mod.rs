//! Bytes from other people's web servers: which addresses may be asked at all, and asking them; secrets from the cloud's
//! own Barbican, images from its other regions, and what its Nova is told.
//!
//! Whoever may import an image names an address, and this service asks it from inside of the operator's network. So
//! names are resolved here, once, the connection goes to the address that was checked, and redirects are followed by
//! checking again.

mod answer;
mod barbican;
mod catalogue;
mod cloud;
mod fetch;
mod filter;
mod nova;
mod regions;
mod roots;
mod sealed;
mod service_user;

pub use answer::{AnswerError, json_within};
pub use barbican::Barbican;
use cloud::builder_of_the_cloud;
pub use cloud::client_of_the_cloud;
pub use fetch::{Asked, Download, Options, Web, WebError};
pub use filter::{Filter, Lists, Refused};
pub use nova::{Nova, NovaError};
pub use regions::{RegionError, RegionImage, Regions, is_copied};
pub use service_user::{OwnToken, ServiceUser};
