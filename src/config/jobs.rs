use super::faults::Faults;
use super::section::section;
use super::values::Seconds;

section! {
    /// The durable queue and the workers that empty it.
    pub struct Jobs = "jobs" {
        /// Jobs this process works on at once in each pool, so that one that is slow keeps no other waiting.
        pub workers: u32 = 32, "jobs";
        /// How long a worker owns a job without a sign of life. Afterwards another worker goes on with it.
        pub lease: Seconds = Seconds(30), "seconds";
        /// How often a worker gives a sign of life; at most half of `lease`.
        pub heartbeat: Seconds = Seconds(10), "seconds";
        /// How often a job is tried before it counts as failed and is undone. The pauses are 1, 2, 4 ... seconds: 6
        /// attempts outlast the half minute for which a cluster takes a client that died for one that uses an image.
        pub max_attempts: u32 = 6, "attempts";
        /// How often the queue is looked at when nobody says that there is work, more or less; at most 600. Jobs that are
        /// to be tried again, and those of a process that died, wait for it too.
        pub poll_interval: Seconds = Seconds(1), "seconds";
        /// How long jobs may take, when the process ends, to stop where they are, so that another process goes on with
        /// them at once. Before that they have `api.shutdown_timeout` to come to their end. One that does not stop in
        /// time is taken over when its lease is over.
        pub handover_timeout: Seconds = Seconds(10), "seconds";
        /// Jobs that may be open, of all projects together. More are refused with 503 and `Retry-After`.
        pub max_open: u32 = 10_000, "jobs";
        /// Likewise, of one project; more are refused with 429 and `Retry-After`.
        pub max_open_per_project: u32 = 2_000, "jobs";
        /// Flattens and other long copies inside the cluster at once; they never keep creates, clones or deletes
        /// waiting.
        pub concurrent_flatten_operations formerly "rbd_concurrent_flatten_operations": u32 = 3, "jobs";
        /// How long finished jobs can still be looked at. 0: for ever.
        pub keep_finished_days: u32 = 30, "days";
        /// How often each process compares database and pools, as `pumice audit` does: what it finds is in the log and in
        /// `/metrics` (`pumice_audit_findings`). 0: never.
        pub audit_interval: Seconds = Seconds(0), "seconds";
    }
}

impl Jobs {
    pub(super) fn check(&self, faults: &mut Faults) {
        let workers = self.workers;
        faults.require((1..=1_024).contains(&workers), "jobs.workers", "must be from 1 to 1024", workers);
        faults.require(self.lease.0 >= 2, "jobs.lease", "must be at least 2", self.lease.0);
        let heartbeat = self.heartbeat.0;
        let fits = heartbeat > 0 && heartbeat <= self.lease.0 / 2;
        faults.require(fits, "jobs.heartbeat", "must be from 1 to half of jobs.lease", heartbeat);
        let attempts = self.max_attempts;
        faults.require((1..=100).contains(&attempts), "jobs.max_attempts", "must be from 1 to 100", attempts);
        let poll = self.poll_interval.0;
        faults.require((1..=600).contains(&poll), "jobs.poll_interval", "must be from 1 to 600", poll);
        for (option, count) in
            [("jobs.max_open", self.max_open), ("jobs.max_open_per_project", self.max_open_per_project)]
        {
            faults.require((1..=1_000_000).contains(&count), option, "must be from 1 to 1000000", count);
        }
        let flattens = self.concurrent_flatten_operations;
        faults.require(
            (1..=64).contains(&flattens),
            "jobs.concurrent_flatten_operations",
            "must be from 1 to 64",
            flattens,
        );
    }
}
