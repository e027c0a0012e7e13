use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::UserId;
use chassis::tokens::TokenVerifier;
use chassis::viewer::Caller;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use testkit::Issuer;
use uuid::Uuid;

fn claims() -> Value {
    let now = chrono::Utc::now().timestamp();
    json!({ "iss": "proofsheet", "aud": "proofsheet", "sub": Uuid::nil(), "iat": now, "exp": now + 600, "roles": [] })
}

fn header() -> Header {
    Header {
        typ: Some("at+jwt".to_owned()),
        kid: Some("test".to_owned()),
        ..Header::new(Algorithm::EdDSA)
    }
}

async fn caller_of(header: &Header, claims: &Value) -> Caller {
    let token = jsonwebtoken::encode(header, claims, &Issuer::key()).unwrap();
    Issuer::verifier().verify(&token).await
}

fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[tokio::test]
async fn a_valid_token_is_accepted() {
    let Caller::Viewer(viewer) = caller_of(&header(), &claims()).await else {
        panic!("the token is refused");
    };
    assert_eq!(viewer.id, UserId(Uuid::nil()));
    assert!(!viewer.moderator);
    let Caller::Viewer(viewer) = caller_of(&header(), &changed("roles", json!(["moderator"]))).await else {
        panic!("the token is refused");
    };
    assert!(viewer.moderator);
}

#[tokio::test]
async fn other_subjects_get_a_stable_uuid() {
    let claims = changed("sub", json!("auth0|1234"));
    let first = caller_of(&header(), &claims).await;
    assert!(matches!(first, Caller::Viewer(_)));
    assert_eq!(first, caller_of(&header(), &claims).await);
    assert_ne!(
        first,
        caller_of(&header(), &changed("sub", json!("auth0|1235"))).await
    );
}

#[tokio::test]
async fn wrong_claims_make_a_request_anonymous() {
    let now = chrono::Utc::now().timestamp();
    for (name, value) in [
        ("iss", json!("another issuer")),
        ("aud", json!("another site")),
        ("exp", json!(now - 60)),
        ("exp", Value::Null),
        ("sub", Value::Null),
        ("aud", Value::Null),
    ] {
        assert_eq!(
            caller_of(&header(), &changed(name, value.clone())).await,
            Caller::Anonymous,
            "{name}: {value}"
        );
    }
}

#[tokio::test]
async fn a_wrong_header_makes_a_request_anonymous() {
    for wrong in [
        Header {
            typ: Some("JWT".to_owned()),
            ..header()
        },
        Header {
            typ: None,
            ..header()
        },
        Header {
            kid: None,
            ..header()
        },
        Header {
            kid: Some("another".to_owned()),
            ..header()
        },
    ] {
        assert_eq!(caller_of(&wrong, &claims()).await, Caller::Anonymous, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_token_without_a_signature_is_anonymous() {
    let head = json!({ "alg": "none", "typ": "at+jwt", "kid": "test" });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", part(&head), part(&claims()));
    assert_eq!(Issuer::verifier().verify(&unsigned).await, Caller::Anonymous);
}

#[tokio::test]
async fn the_public_key_is_not_accepted_as_a_shared_secret() {
    let public = Issuer::key_set().keys.remove(0);
    let secret = EncodingKey::from_secret(serde_json::to_string(&public).unwrap().as_bytes());
    let head = Header {
        alg: Algorithm::HS256,
        ..header()
    };
    let token = jsonwebtoken::encode(&head, &claims(), &secret).unwrap();
    assert_eq!(Issuer::verifier().verify(&token).await, Caller::Anonymous);
}

#[tokio::test]
async fn a_changed_token_is_anonymous() {
    let token = Issuer::token(UserId(Uuid::nil()));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (head, _) = signed.split_once('.').unwrap();
    let body = URL_SAFE_NO_PAD.encode(changed("roles", json!(["moderator"])).to_string());
    let verifier = Issuer::verifier();
    assert_eq!(
        verifier.verify(&format!("{head}.{body}.{signature}")).await,
        Caller::Anonymous
    );
    for garbage in ["", ".", "..", "a.b.c", "Bearer", "😀.😀.😀"] {
        assert_eq!(verifier.verify(garbage).await, Caller::Anonymous, "{garbage}");
    }
}

#[tokio::test]
async fn tokens_are_unverified_without_the_issuers_keys() {
    let verifier = TokenVerifier::new(&Issuer::config(), reqwest::Client::new());
    let token = Issuer::token(UserId(Uuid::nil()));
    assert_eq!(verifier.verify(&token).await, Caller::Unverified);
}
