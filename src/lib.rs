//! Pumice gives a Ceph cluster OpenStack's Image API v2 and Block Storage API v3.
//!
//! The rooms of the house, from the top down: each calls only those below it, and of them only those that the table in
//! `docs/architecture.md` says.
//!
//! - [`hostile`]: the parsers of what strangers send, for fuzzing
//! - [`commands`]: what the binary can be asked to do; one file a subcommand
//! - [`service`]: puts the rooms together: database, stores, workers, routes, listening ports
//! - [`image_api`], [`volume_api`], [`identity_api`], [`pumice_api`]: the routes; a folder a resource, a file an
//!   endpoint
//! - [`http`]: what they share on the wire: request ids, who asks, limits, ranges, conditions, self-description
//! - [`audit`]: whether database and pools agree, and what to do about it
//! - [`identity`]: who asks, and what they may do; identity of our own, and tokens of Keystone
//! - [`workflows`]: what a job does, a file each
//! - [`scheduler`]: which place a volume gets; a pure function
//! - [`signature`]: whose bytes they are, where an image says that it is signed
//! - [`transfer`]: how bytes move
//! - [`jobs`]: the durable queue
//! - [`db`]: what is remembered; a repository value is a transaction
//! - [`block`]: where bytes live; the only room with `unsafe`, in [`block::rbd`]
//! - [`web`]: bytes from other people's web servers, and the other services of the cloud
//! - [`telemetry`], [`config`]: logs and metrics; options
//! - [`formats`]: what bytes mean; asks nobody
//! - [`model`]: what things are; asks nobody

pub mod audit;
pub mod block;
pub mod commands;
pub mod config;
pub mod db;
pub mod formats;
pub mod hostile;
pub mod http;
pub mod identity;
pub mod identity_api;
pub mod image_api;
pub mod jobs;
pub mod model;
pub mod pumice_api;
pub mod scheduler;
pub mod service;
pub mod signature;
pub mod telemetry;
pub mod transfer;
pub mod volume_api;
pub mod web;
pub mod workflows;
