use std::time::{Duration, Instant};
use xtask::cluster::{Cluster, Options};
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let t = Instant::now();
    let cluster = Cluster::start(Options { data_dir: Some("/tmp/fc".into()), small_volume: Some((2, 500)), ..Options::default() }).await?;
    println!("up {:?} {}", t.elapsed(), cluster.base_url());
    if std::env::args().nth(1).is_some() { tokio::time::sleep(Duration::from_secs(600)).await; }
    let t = Instant::now();
    cluster.kill_all(&Cluster::databases());
    tokio::time::sleep(Duration::from_millis(1200)).await;
    cluster.wait_in_step(Duration::from_secs(60)).await?;
    println!("all killed {:?}", t.elapsed());
    let s = cluster.slow_down(2, Duration::from_millis(20))?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("{}", cluster.is_in_step(2).await);
    drop(s);
    cluster.kill("photo-1"); cluster.kill("router");
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.wait_until_ready(Duration::from_secs(60)).await?;
    let t = Instant::now();
    cluster.stop().await?;
    println!("stopped {:?}", t.elapsed());
    Ok(())
}
