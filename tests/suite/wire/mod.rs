//! The APIs as clients see them: through the router, byte by byte.

mod bodies;
mod image;
mod jobs;
mod overload;
mod published;
mod races;
mod volume;
