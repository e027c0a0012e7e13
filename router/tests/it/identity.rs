//! The identity of a request, and the headers that reach services.

use crate::fakes::{Fakes, Token};
use crate::gateway::{Gateway, header};

const VIEWER: &str = "{ viewer { email } }";
/// A field of profile.
const AVAILABLE: &str = r#"{ usernameAvailable(username: "ada") }"#;

#[tokio::test]
async fn bearer_and_cookie_tokens_reach_the_services() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let token = Token::good().signed();

    gateway
        .operation(AVAILABLE)
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    let seen = fakes["profile"].take_seen().remove(0);
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {token}").as_str())
    );
    assert_eq!(seen.header("x-authorised-by"), None);

    let cookie = format!("theme=dark; proofsheet_access={token}");
    gateway
        .operation(AVAILABLE)
        .header("cookie", &cookie)
        .send()
        .await
        .unwrap();
    let seen = fakes["profile"].take_seen().remove(0);
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {token}").as_str())
    );
    assert_eq!(
        seen.header("cookie"),
        None,
        "cookies are authentication's business"
    );

    gateway
        .operation(VIEWER)
        .header("cookie", &cookie)
        .header("user-agent", "Netscape")
        .send()
        .await
        .unwrap();
    let seen = fakes["authentication"].take_seen().remove(0);
    assert_eq!(seen.header("cookie"), Some(cookie.as_str()));
    assert_eq!(seen.header("x-authorised-by"), Some("cookie"));
    assert_eq!(seen.header("user-agent"), Some("Netscape"));
}

/// Forged tokens, and tokens that are expired or for another audience.
fn bad_tokens(good: &Token) -> Vec<(&'static str, String)> {
    let unsigned = {
        let encode = |part: &str| {
            good.signed()
                .split('.')
                .nth(usize::from(part == "claims"))
                .unwrap()
                .to_owned()
        };
        // {"alg":"none","typ":"at+jwt","kid":"fake"}
        format!(
            "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0Iiwia2lkIjoiZmFrZSJ9.{}.",
            encode("claims")
        )
    };
    let tampered = {
        let signed = good.signed();
        let other = good
            .clone()
            .with(|token| token.claims["sub"] = "another service".into())
            .signed();
        let parts: Vec<&str> = signed.split('.').collect();
        format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2])
    };
    vec![
        ("algorithm none", unsigned),
        ("the public key as a secret", good.signed_with_public_key()),
        ("other claims under the signature", tampered),
        (
            "for another service",
            good.clone()
                .with(|token| token.claims["aud"] = "others".into())
                .signed(),
        ),
        (
            "by another service",
            good.clone()
                .with(|token| token.claims["iss"] = "others".into())
                .signed(),
        ),
        (
            "another kind of token",
            good.clone()
                .with(|token| token.header.typ = Some("JWT".to_owned()))
                .signed(),
        ),
        (
            "no kind",
            good.clone().with(|token| token.header.typ = None).signed(),
        ),
        (
            "expired",
            good.clone()
                .with(|token| token.claims["exp"] = 1_700_000_000.into())
                .signed(),
        ),
        (
            "no end",
            good.clone()
                .with(|token| drop(token.claims.as_object_mut().unwrap().remove("exp")))
                .signed(),
        ),
        (
            "unknown key",
            good.clone()
                .with(|token| token.header.kid = Some("other".to_owned()))
                .signed(),
        ),
        (
            "no key",
            good.clone().with(|token| token.header.kid = None).signed(),
        ),
        ("nonsense", "nonsense".to_owned()),
    ]
}

#[tokio::test]
async fn a_bad_token_makes_a_request_anonymous() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let good = Token::good();
    for (what, token) in bad_tokens(&good) {
        // A valid cookie does not make up for an invalid bearer token.
        let cookie = format!("proofsheet_access={}", good.signed());
        let answer = gateway
            .operation(AVAILABLE)
            .bearer_auth(&token)
            .header("cookie", &cookie)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{what}");
        let seen = fakes["profile"].take_seen().remove(0);
        assert_eq!(seen.header("authorization"), None, "{what} as a bearer");

        let cookie = format!("proofsheet_access={token}");
        let answer = gateway
            .operation(AVAILABLE)
            .header("cookie", &cookie)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{what}");
        let seen = fakes["profile"].take_seen().remove(0);
        assert_eq!(seen.header("authorization"), None, "{what} as a cookie");
    }
    // For comparison, a valid token is accepted.
    gateway
        .operation(AVAILABLE)
        .bearer_auth(good.signed())
        .send()
        .await
        .unwrap();
    let seen = fakes["profile"].take_seen().remove(0);
    assert!(seen.header("authorization").is_some());
}

#[tokio::test]
async fn without_keys_requests_are_anonymous() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start_with(&fakes, &[("--jwks-url", "http://127.0.0.1:9/jwks.json")]).await;
    let token = Token::good().signed();
    let answer = gateway
        .operation(AVAILABLE)
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    // The service verifies the token.
    let seen = fakes["profile"].take_seen().remove(0);
    assert!(seen.header("authorization").is_some());
}

#[tokio::test]
async fn cookies_have_the_host_prefix_over_https() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start_with(&fakes, &[("--public-url", "https://photos.example")]).await;
    let token = Token::good().signed();
    for (name, counts) in [("__Host-proofsheet_access", true), ("proofsheet_access", false)] {
        let answer = gateway
            .operation(AVAILABLE)
            .header("cookie", format!("{name}={token}"))
            .send()
            .await
            .unwrap();
        let seen = fakes["profile"].take_seen().remove(0);
        assert_eq!(seen.header("authorization").is_some(), counts, "{name}");
        assert!(header(&answer, "strict-transport-security").is_some());
    }
}

#[tokio::test]
async fn only_cookies_of_authentication_reach_the_browser() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let answer = gateway.operation(VIEWER).send().await.unwrap();
    let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; HttpOnly", "b=2; HttpOnly"]);
    let answer = gateway.operation(AVAILABLE).send().await.unwrap();
    assert_eq!(header(&answer, "set-cookie"), None);
}

#[tokio::test]
async fn internal_headers_of_clients_are_removed() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let forged = |request: reqwest::RequestBuilder| {
        request
            .header("x-client-ip", "203.0.113.1")
            .header("x-forwarded-for", "203.0.113.1")
            .header("x-authorised-by", "cookie")
            .header("x-internal-secret", "guess")
    };
    forged(gateway.operation(VIEWER)).send().await.unwrap();
    let seen = fakes["authentication"].take_seen().remove(0);
    assert_eq!(seen.header("x-client-ip"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-authorised-by"), None);
    assert_eq!(seen.header("x-internal-secret"), None);

    let upload = gateway
        .http
        .post(gateway.url("/media/uploads"))
        .bearer_auth(Token::good().signed())
        .body("x");
    forged(upload).send().await.unwrap();
    let seen = fakes["photo"].take_seen().remove(0);
    assert_eq!(seen.header("x-client-ip"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-internal-secret"), None);
}

#[tokio::test]
async fn trusted_proxies_set_the_client_address() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start_with(&fakes, &[("--trusted-proxies", "127.0.0.0/8,10.0.0.0/8")]).await;
    gateway
        .operation(AVAILABLE)
        .header("x-forwarded-for", "1.2.3.4, 203.0.113.1, 10.1.1.1")
        .send()
        .await
        .unwrap();
    assert_eq!(
        fakes["profile"].take_seen().remove(0).header("x-client-ip"),
        Some("203.0.113.1")
    );
}

#[tokio::test]
async fn every_request_has_an_id() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let answer = gateway
        .operation(AVAILABLE)
        .header("x-request-id", "mine-1")
        .send()
        .await
        .unwrap();
    assert_eq!(header(&answer, "x-request-id"), Some("mine-1"));
    assert_eq!(
        fakes["profile"].take_seen().remove(0).header("x-request-id"),
        Some("mine-1")
    );

    for malformed in ["", "two words", "<script>", &"x".repeat(200)] {
        let answer = gateway
            .operation(AVAILABLE)
            .header("x-request-id", malformed)
            .send()
            .await
            .unwrap();
        let made = header(&answer, "x-request-id").unwrap();
        assert_eq!(made.len(), 36, "instead of {malformed:?}");
        assert_eq!(
            fakes["profile"].take_seen().remove(0).header("x-request-id"),
            Some(made)
        );
    }
    let answer = gateway.get("/media/photo").send().await.unwrap();
    assert!(header(&answer, "x-request-id").is_some());
}
