//! Different Unicode forms of e-mail addresses and passwords are equal.

use chrono::TimeDelta;
use serde_json::json;

use crate::{PASSWORD, TestService, change_password, login, register, signed_in, viewer};

const COMPOSED: &str = "plinth-\u{e9}tre-42";
const DECOMPOSED: &str = "plinth-e\u{301}tre-42";

/// Returns a hash of the password as typed, as in releases before normalisation.
fn hash_as_typed(password: &str) -> String {
    use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
    use argon2::{Algorithm, Argon2, Params, Version};
    let (salt, mut output) = ([7; 16], [0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
        .hash_password_into(password.as_bytes(), &salt, &mut output)
        .unwrap();
    let phc = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&Params::DEFAULT).unwrap(),
        salt: Some(Salt::new(&salt).unwrap()),
        hash: Some(Output::new(&output).unwrap()),
    };
    phc.to_string()
}

#[tokio::test]
async fn composed_and_decomposed_passwords_are_equal() {
    let service = TestService::new().await;
    register(&service.client, "ada@example.org", DECOMPOSED)
        .await
        .data();
    for typed in [COMPOSED, DECOMPOSED] {
        login(&service.client, "ada@example.org", typed).await.data();
    }
    let wrong = login(&service.client, "ada@example.org", "plinth-etre-42").await;
    assert_eq!(wrong.error(), "UNAUTHENTICATED");
}

#[tokio::test]
async fn old_hashes_are_accepted_and_replaced() {
    let service = TestService::new().await;
    let session = service.register("ada@example.org").await;
    sqlx::query("UPDATE account SET password_hash = ?")
        .bind(hash_as_typed(DECOMPOSED))
        .execute(&service.database.pool)
        .await
        .unwrap();
    let wrong = login(&service.client, "ada@example.org", "plinth-e\u{301}tre-43").await;
    assert_eq!(wrong.error(), "UNAUTHENTICATED");
    login(&service.client, "ada@example.org", DECOMPOSED).await.data();
    for typed in [COMPOSED, DECOMPOSED] {
        login(&service.client, "ada@example.org", typed).await.data();
    }
    // Confirmations of changes replace the hash too.
    sqlx::query("UPDATE account SET password_hash = ?")
        .bind(hash_as_typed(DECOMPOSED))
        .execute(&service.database.pool)
        .await
        .unwrap();
    change_password(&signed_in(&service.client, &session), DECOMPOSED, PASSWORD)
        .await
        .data();
    login(&service.client, "ada@example.org", PASSWORD).await.data();
}

#[tokio::test]
async fn spellings_of_an_address_find_one_account() {
    let service = TestService::new().await;
    let spellings = [
        "jos\u{e9}@b\u{fc}cher.example",
        "jose\u{301}@bu\u{308}cher.example",
        "JOS\u{c9}@xn--bcher-kva.example",
    ];
    service.register(spellings[1]).await;
    for spelling in spellings {
        let again = register(&service.client, spelling, PASSWORD).await;
        assert_eq!(again.error(), "CONFLICT email", "{spelling}");
        let session = login(&service.client, spelling, PASSWORD).await.data()["login"].clone();
        let shown = viewer(&signed_in(&service.client, &session)).await;
        assert_eq!(shown["email"], spellings[1], "as typed first");
    }
    assert_eq!(service.count("SELECT COUNT(*) FROM account").await, 1);
}

#[tokio::test]
async fn attempts_are_counted_together_for_all_spellings() {
    let service = TestService::with(&["--login-failures-per-account", "2"]).await;
    service.register("jos\u{e9}@b\u{fc}cher.example").await;
    for spelling in [
        "jose\u{301}@b\u{fc}cher.example",
        "jos\u{e9}@xn--bcher-kva.example",
    ] {
        let wrong = login(&service.client, spelling, "plinth-otter-43").await;
        assert_eq!(wrong.error(), "UNAUTHENTICATED");
    }
    let third = login(&service.client, "jos\u{e9}@b\u{fc}cher.example", PASSWORD).await;
    assert_eq!(third.error(), "RATE_LIMITED");
}

#[tokio::test]
async fn accounts_of_earlier_releases_can_sign_in() {
    let service = TestService::new().await;
    for email in [
        "jos\u{e9}@b\u{fc}cher.example",
        "ada@example.org",
        "twin@example.org",
    ] {
        service.register(email).await;
        service.clock.advance(TimeDelta::milliseconds(1));
    }
    // As stored by the previous release: lower case, and two accounts with the same address.
    let before = "UPDATE account SET email = ?, email_folded = ?, email_is_canonical = FALSE WHERE email = ?";
    for (email, was) in [
        ("jose\u{301}@b\u{fc}cher.example", "jos\u{e9}@b\u{fc}cher.example"),
        ("ada@example.org", "ada@example.org"),
        ("jose\u{301}@bu\u{308}cher.example", "twin@example.org"),
    ] {
        sqlx::query(before)
            .bind(email)
            .bind(email)
            .bind(was)
            .execute(&service.database.pool)
            .await
            .unwrap();
    }
    let email_of = async |typed: &str| {
        let session = login(&service.client, typed, PASSWORD).await.data()["login"].clone();
        session["viewer"]["email"].clone()
    };
    let (first, second) = (
        "jose\u{301}@b\u{fc}cher.example",
        "jose\u{301}@bu\u{308}cher.example",
    );
    for _ in 0..2 {
        assert_eq!(email_of(first).await, json!(first));
        assert_eq!(email_of(second).await, json!(second));
        assert_eq!(email_of("ADA@example.org").await, json!("ada@example.org"));
        authentication::reconcile::run(&service.database.pool, &service.clock.clock())
            .await
            .unwrap();
    }
    // All other spellings find the first account.
    assert_eq!(email_of("jos\u{e9}@xn--bcher-kva.example").await, json!(first));
    let left = "SELECT COUNT(*) FROM account WHERE email_is_canonical = FALSE";
    assert_eq!(service.count(left).await, 0);
}
