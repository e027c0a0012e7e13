//! A running site and its parts, on each topology: [`crate::system::System`] with a single database,
//! [`crate::cluster::Cluster`] with three, and the stack on Docker engines.

use std::path::PathBuf;

use anyhow::{Result, bail};

/// How the administrator of a database node connects to it.
#[derive(Clone, Debug)]
pub enum DatabaseAccess {
    /// A URL without a schema.
    Url(String),
    /// The socket of a node with an agent, which works while its network is cut. The password is derived from the
    /// secret.
    Socket { path: PathBuf, cluster_secret: String },
}

/// A running site.
pub trait Topology {
    /// The URLs of the routers.
    fn urls(&self) -> Vec<String>;

    /// The database nodes to which this machine can connect.
    fn databases(&self) -> Vec<DatabaseAccess>;

    /// The folder of the photos' files, if this machine can read it.
    fn files(&self) -> Option<PathBuf>;

    /// Kills a part with SIGKILL.
    fn kill_part(&self, part: &str) -> impl Future<Output = Result<()>>;

    /// Stops a part in order, and waits until it has ended.
    fn stop_part(&self, part: &str) -> impl Future<Output = Result<()>>;

    /// Starts a stopped part.
    fn start_part(&self, part: &str) -> impl Future<Output = Result<()>>;

    /// Pauses a part: its connections stay open, and it does not respond.
    fn pause_part(&self, part: &str) -> impl Future<Output = Result<()>>;

    /// Resumes a paused part.
    fn resume_part(&self, part: &str) -> impl Future<Output = Result<()>>;

    /// Disconnects a part from the others, or connects it again.
    fn cut_part(&self, part: &str, cut: bool) -> Result<()> {
        let _ = cut;
        bail!("the network of {part} cannot be cut on this topology")
    }
}
