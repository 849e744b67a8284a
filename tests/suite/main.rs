//! The tests that see the crate from outside: one file a subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only the test functions themselves, not what they share"
)]

use tikv_jemallocator::Jemalloc;

/// As in the service. librbd copies its whole configuration for each image that is opened.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

mod audit;
mod clients;
mod configuration;
mod contract;
mod crash;
mod database;
mod faults;
mod formats;
mod fuzz;
mod guest;
mod house;
mod identity;
mod leaks;
mod listener;
mod migrations;
mod openapi;
mod overload;
mod policy;
mod power;
mod process;
mod replicas;
mod rooms;
mod support;
mod tour;
mod transfer;
mod trouble;
mod watch;
mod web;
mod wire;
mod workflows;
