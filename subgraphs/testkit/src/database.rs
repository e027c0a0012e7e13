use std::time::Duration;

use chassis::config::Secret;
use chassis::database::Pool;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection};
use url::Url;
use uuid::Uuid;

use crate::proxy::Proxy;
use crate::server::{START_ONE, is_without_galera, server_url};

/// A migrated schema on the test database. Dropped at the end of the test.
#[derive(Debug)]
pub struct TestDatabase {
    server: String,
    /// The schema's URL for a service.
    url: Secret,
    name: String,
    /// A pool with a service's settings.
    pub pool: Pool,
}

impl TestDatabase {
    /// Creates a schema with these migrations of a service.
    pub async fn new(migrations: &Migrator) -> Self {
        let server = server_url();
        let name = format!("test_{}", Uuid::new_v4().simple());
        let mut admin = MySqlConnection::connect(&server)
            .await
            .unwrap_or_else(|error| panic!("The test database does not respond ({error}). {START_ONE}"));
        admin
            .execute(AssertSqlSafe(format!(
                "CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            )))
            .await
            .expect("the test server lets us create databases");
        // Without TLS, which MariaDB 11.4 and later offer by default, because the proxy reads the statements.
        let mut url = Secret::new(format!("{server}/{name}?ssl-mode=disabled"));
        if is_without_galera() {
            url = with_proxy_address(&url, &Proxy::without_galera().await);
        }
        chassis::database::migrate(&url, migrations)
            .await
            .expect("the migrations run");
        // Concurrent tests on a small machine open connections more slowly than a service waits.
        let pool = Pool::with_acquire_timeout(&url, 16, Duration::from_secs(30)).expect("a valid URL");
        Self {
            server,
            url,
            name,
            pool,
        }
    }

    /// Creates a schema with the tables of the chassis only.
    pub async fn without_own_tables() -> Self {
        static NO_TABLES: Migrator = Migrator {
            migrations: std::borrow::Cow::Borrowed(&[]),
            ..Migrator::DEFAULT
        };
        Self::new(&NO_TABLES).await
    }

    pub fn url(&self) -> Secret {
        self.url.clone()
    }

    /// Returns the URL of the schema through `proxy`.
    pub fn url_through(&self, proxy: &Proxy) -> Secret {
        with_proxy_address(&self.url, proxy)
    }

    /// Returns a small pool through `proxy`, with a service's settings.
    pub fn pool_through(&self, proxy: &Proxy) -> Pool {
        Pool::with_acquire_timeout(&self.url_through(proxy), 4, Duration::from_secs(30)).expect("a valid URL")
    }
}

/// Returns `url` with the address of `proxy`.
fn with_proxy_address(url: &Secret, proxy: &Proxy) -> Secret {
    let mut url: Url = url.expose().parse().expect("a valid URL");
    url.set_ip_host(proxy.address().ip()).expect("a URL with a host");
    url.set_port(Some(proxy.address().port()))
        .expect("a URL with a port");
    Secret::new(url)
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A destructor cannot wait, and the test's runtime may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            runtime.block_on(async {
                let mut admin = MySqlConnection::connect(&server).await.ok()?;
                // A failed test may still hold locks in an open transaction.
                let open: Vec<i64> =
                    sqlx::query_scalar("SELECT id FROM information_schema.processlist WHERE db = ?")
                        .bind(&name)
                        .fetch_all(&mut admin)
                        .await
                        .ok()?;
                for id in open {
                    // It may have ended meanwhile.
                    let _ = admin.execute(AssertSqlSafe(format!("KILL {id}"))).await;
                }
                admin
                    .execute(AssertSqlSafe(format!("DROP DATABASE {name}")))
                    .await
                    .ok()
            })
        });
        if dropped.join().ok().flatten().is_none() {
            eprintln!("the test database {} could not be dropped", self.name);
        }
    }
}
