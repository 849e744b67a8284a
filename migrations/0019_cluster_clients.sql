-- What the processes are called in the clusters that they are connected to: whoever takes over the jobs of one that gave no
-- sign of life any more shuts it out of there first.
CREATE TABLE cluster_clients (
    -- Of leases; each process has a name of its own.
    owner   TEXT   NOT NULL,
    fsid    TEXT   NOT NULL,
    -- Host, port and nonce, as Ceph writes them.
    address TEXT   NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (owner, fsid, address)
);
