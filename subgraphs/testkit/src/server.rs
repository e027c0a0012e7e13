//! The MariaDB that tests use.

use std::fs;

/// The file that `./dev db` writes into the target folder.
const URL_FILE: &str = "test-database-url";
pub(crate) const START_ONE: &str =
    "Start one in another terminal with `./dev db`, or run these tests with `./dev test`.";

/// If set, tests reach the server as [`crate::Proxy::without_galera`] shows it.
const WITHOUT_GALERA: &str = "TEST_DATABASE_WITHOUT_GALERA";

/// Returns the administrator's URL of the test database: `TEST_DATABASE_URL`, or the file that `./dev db` writes.
pub(crate) fn server_url() -> String {
    std::env::var("TEST_DATABASE_URL").unwrap_or_else(|_| {
        let program = std::env::current_exe().expect("a running program has a path");
        program
            .ancestors()
            .find_map(|folder| fs::read_to_string(folder.join(URL_FILE)).ok())
            .unwrap_or_else(|| panic!("There is no test database. {START_ONE}"))
    })
}

/// Whether the tests run with a server without Galera.
pub(crate) fn is_without_galera() -> bool {
    std::env::var_os(WITHOUT_GALERA).is_some()
}
