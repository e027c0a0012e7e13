use std::time::Duration;

use chassis::config::Secret;
use chassis::database::Pool;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection};
use url::Url;
use uuid::Uuid;

use crate::proxy::Proxy;
use crate::server::{START_ONE, is_without_galera, server_url};

/// A separate schema on the test database, migrated, and dropped at the end of the test.
#[derive(Debug)]
pub struct TestDatabase {
    server: String,
    /// The schema's URL for a service.
    url: Secret,
    name: String,
    /// Connections to it, set up like a service's.
    pub pool: Pool,
}

impl TestDatabase {
    /// Makes the schema of the subgraph with these migrations.
    pub async fn new(migrations: &Migrator) -> Self {
        let server = server_url();
        let name = format!("test_{}", Uuid::new_v4().simple());
        let mut admin = MySqlConnection::connect(&server)
            .await
            .unwrap_or_else(|error| panic!("The test database does not answer ({error}). {START_ONE}"));
        admin
            .execute(AssertSqlSafe(format!(
                "CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            )))
            .await
            .expect("the test server lets us create databases");
        // Without TLS, which MariaDB 11.4 and later offer by default: the proxy has to see the statements.
        let mut url = Secret::new(format!("{server}/{name}?ssl-mode=disabled"));
        if is_without_galera() {
            url = through(&url, &Proxy::without_galera().await);
        }
        chassis::database::migrate(&url, migrations)
            .await
            .expect("the migrations run");
        // Many tests side by side on a small machine open connections more slowly than a service may wait.
        let pool = Pool::with_acquire_timeout(&url, 16, Duration::from_secs(30)).expect("a valid URL");
        Self {
            server,
            url,
            name,
            pool,
        }
    }

    /// Makes a schema with the tables of chassis only.
    pub async fn without_own_tables() -> Self {
        static NO_TABLES: Migrator = Migrator {
            migrations: std::borrow::Cow::Borrowed(&[]),
            ..Migrator::DEFAULT
        };
        Self::new(&NO_TABLES).await
    }

    /// The URL of the schema.
    pub fn url(&self) -> Secret {
        self.url.clone()
    }

    /// The same by way of `proxy`.
    pub fn url_through(&self, proxy: &Proxy) -> Secret {
        through(&self.url, proxy)
    }

    /// A few connections by way of `proxy`, set up like a service's.
    pub fn pool_through(&self, proxy: &Proxy) -> Pool {
        Pool::with_acquire_timeout(&self.url_through(proxy), 4, Duration::from_secs(30)).expect("a valid URL")
    }
}

/// `url` with the address of `proxy`.
fn through(url: &Secret, proxy: &Proxy) -> Secret {
    let mut url: Url = url.expose().parse().expect("a valid URL");
    url.set_ip_host(proxy.address().ip()).expect("a URL with a host");
    url.set_port(Some(proxy.address().port()))
        .expect("a URL with a port");
    Secret::new(url)
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A destructor cannot wait, and the test's own runtime may be at its end.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            runtime.block_on(async {
                let mut admin = MySqlConnection::connect(&server).await.ok()?;
                // A test that failed inside a transaction still holds the locks of its tables.
                let open: Vec<i64> =
                    sqlx::query_scalar("SELECT id FROM information_schema.processlist WHERE db = ?")
                        .bind(&name)
                        .fetch_all(&mut admin)
                        .await
                        .ok()?;
                for id in open {
                    // It may have ended by itself meanwhile.
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
