//! An S3 server over a folder, so that the S3 store is tested against a real server process.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

/// Serves a folder by the S3 protocol. Each folder in it is a bucket. Prints `listening on <address>` when it is ready.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address to listen on. Port 0 selects a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The access key that clients must have.
    #[arg(long)]
    access_key_id: String,
    /// The secret that belongs to it.
    #[arg(long)]
    secret_access_key: String,
    /// The folder.
    root: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = FileSystem::new(&arguments.root)
        .map_err(|error| anyhow::anyhow!("cannot serve {}: {error:?}", arguments.root.display()))?;
    let mut service = S3ServiceBuilder::new(folder);
    service.set_auth(SimpleAuth::from_single(
        arguments.access_key_id,
        arguments.secret_access_key,
    ));
    let service = service.build();

    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    println!("listening on {}", listener.local_addr()?);
    // The parent process waits for the line.
    std::io::stdout().flush()?;
    loop {
        let (socket, _) = listener.accept().await?;
        let service = service.clone();
        tokio::spawn(async move {
            // Ignore errors of connections.
            let _ = Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}
