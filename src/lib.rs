//! Pumice gives a Ceph cluster OpenStack's Image API v2 and Block Storage API v3.
//!
//! The rooms of the house, and who may call whom (downwards only):
//!
//! - [`commands`]: what the binary can be asked to do; one file a subcommand
//! - [`service`]: puts the rooms together: database, stores, workers, routes, listening ports
//! - [`image_api`], [`volume_api`], [`identity_api`], [`pumice_api`]: the routes; a folder a resource, a file an
//!   endpoint
//! - [`http`]: wire habits shared by them: faults, request context, microversions, paging
//! - [`identity`]: who asks, and what they may do; identity of our own, and tokens of Keystone
//! - [`scheduler`]: which place a volume gets; a pure function
//! - [`workflows`]: what a job does, a file each
//! - [`jobs`]: the durable queue
//! - [`transfer`]: how bytes move
//! - [`web`]: bytes from other people's web servers
//! - [`formats`]: what bytes mean; asks nobody
//! - [`signature`]: whose bytes they are, where an image says that it is signed
//! - [`db`]: what is remembered; a repository value is a transaction
//! - [`block`]: where bytes live; the only room with `unsafe`, in [`block::rbd`]
//! - [`model`]: what things are; knows nobody
//! - [`config`], [`telemetry`]: options; logs and metrics
//! - [`hostile`]: the parsers of what strangers send, for fuzzing

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
