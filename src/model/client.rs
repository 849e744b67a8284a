//! What a cluster calls those who work in it.

/// A connection to a Ceph cluster. No two ever share an address: it ends in a number that is drawn for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterClient {
    /// Of the cluster.
    pub fsid: String,
    /// Host, port and nonce, as Ceph writes them.
    pub address: String,
}
