use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::{TestService, body, change_password, delete_account, signed_in, text, viewer};

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

async fn published(service: &TestService) -> Value {
    body(service.client.get("/.well-known/jwks.json").await).await
}

#[tokio::test]
async fn an_access_token_has_the_standard_claims() {
    let service = TestService::new().await;
    let session = service.register("ada@example.org").await;
    let token = text(&session["accessToken"]);
    assert_sorted_snapshot!(part(&token, 0), { ".kid" => "[kid]" }, @r#"
    {
      "alg": "EdDSA",
      "kid": "[kid]",
      "typ": "at+jwt"
    }
    "#);
    let claims = part(&token, 1);
    assert_sorted_snapshot!(claims, {
        ".sub" => "[id]", ".jti" => "[id]", ".sid" => "[id]", ".iat" => "[time]", ".exp" => "[time]",
    }, @r#"
    {
      "aud": "proofsheet",
      "exp": "[time]",
      "iat": "[time]",
      "iss": "proofsheet",
      "jti": "[id]",
      "roles": [],
      "sid": "[id]",
      "sub": "[id]"
    }
    "#);
    assert_eq!(claims["sub"], session["viewer"]["id"]);
    assert_eq!(claims["sid"], session["viewer"]["sessions"][0]["id"]);
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        600
    );
}

#[tokio::test]
async fn only_public_keys_are_published() {
    let service = TestService::new().await;
    let response = service.client.get("/.well-known/jwks.json").await;
    assert_eq!(response.headers()["cache-control"], "public, max-age=300");
    assert_eq!(response.headers()["content-type"], "application/json");
    let keys = body(response).await;
    assert_sorted_snapshot!(keys, { ".keys[].kid" => "[kid]", ".keys[].x" => "[x]" }, @r#"
    {
      "keys": [
        {
          "alg": "EdDSA",
          "crv": "Ed25519",
          "kid": "[kid]",
          "kty": "OKP",
          "use": "sig",
          "x": "[x]"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn forged_tokens_are_anonymous() {
    let service = TestService::new().await;
    let session = service.register("ada@example.org").await;
    let genuine = text(&session["accessToken"]);
    let key = published(&service).await["keys"][0].clone();
    let public = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let (header, claims) = (part(&genuine, 0), part(&genuine, 1));
    let [head, payload, signature] = genuine.split('.').collect::<Vec<_>>().try_into().unwrap();
    let changed = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        header
    };
    let hs256 = |secret: &[u8]| {
        let header = Header {
            typ: Some("at+jwt".to_owned()),
            kid: key["kid"].as_str().map(str::to_owned),
            ..Header::new(Algorithm::HS256)
        };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap()
    };
    let mut moderator = claims.clone();
    moderator["roles"] = json!(["moderator"]);
    let other_key = [
        &[
            0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
        ][..],
        &[9; 32],
    ]
    .concat();
    let of_other_key = |kid: Option<String>| {
        let header = Header {
            typ: Some("at+jwt".to_owned()),
            kid,
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&other_key)).unwrap()
    };
    let forged = [
        (
            "alg none",
            format!("{}.{payload}.", encoded(&changed("alg", json!("none")))),
        ),
        (
            "alg none, signature kept",
            format!(
                "{}.{payload}.{signature}",
                encoded(&changed("alg", json!("none")))
            ),
        ),
        ("HS256 with the public key", hs256(&public)),
        (
            "HS256 with the public key as it is published",
            hs256(key["x"].as_str().unwrap().as_bytes()),
        ),
        (
            "other claims under the signature",
            format!("{head}.{}.{signature}", encoded(&moderator)),
        ),
        ("no signature", format!("{head}.{payload}.")),
        (
            "unknown kid",
            of_other_key(Some("0199a3c8-7a10-7cc3-98c4-dc0c0c07398f".to_owned())),
        ),
        (
            "known kid, other key",
            of_other_key(key["kid"].as_str().map(str::to_owned)),
        ),
        ("no kid", of_other_key(None)),
        (
            "typ of another kind of token",
            format!("{}.{payload}.{signature}", encoded(&changed("typ", json!("JWT")))),
        ),
        ("the refresh token", text(&session["refreshToken"])),
        ("nothing", String::new()),
    ];
    for (what, token) in forged {
        assert_eq!(
            viewer(&service.client.with_token(token)).await,
            Value::Null,
            "{what}"
        );
    }
    assert_eq!(
        viewer(&service.client.with_token(genuine)).await["email"],
        "ada@example.org"
    );
}

#[tokio::test]
async fn tokens_with_wrong_claims_are_anonymous() {
    let service = TestService::new().await;
    service.register("ada@example.org").await;
    for flags in [
        ["--token-audience", "somebody-else"],
        ["--token-issuer", "somebody-else"],
        ["--token-type", "JWT"],
    ] {
        let other = service.replica(&flags).await;
        let session = crate::login(&other.client, "ada@example.org", crate::PASSWORD)
            .await
            .data()["login"]
            .clone();
        assert_eq!(
            viewer(&signed_in(&other.client, &session)).await["email"],
            "ada@example.org",
            "{flags:?}"
        );
        assert_eq!(
            viewer(&signed_in(&service.client, &session)).await,
            Value::Null,
            "{flags:?}"
        );
    }
}

#[tokio::test]
async fn an_expired_token_is_anonymous() {
    let service = TestService::new().await;
    service.clock.set(Utc::now() - TimeDelta::minutes(11));
    let session = service.register("ada@example.org").await;
    assert_eq!(viewer(&signed_in(&service.client, &session)).await, Value::Null);
}

#[tokio::test]
async fn fields_of_the_viewer_need_a_viewer() {
    let service = TestService::new().await;
    for client in [
        service.client.clone(),
        service.client.with_token("x.y.z".to_owned()),
    ] {
        assert_eq!(
            client.graphql("mutation { logout }", json!({})).await.error(),
            "UNAUTHENTICATED"
        );
        assert_eq!(delete_account(&client, "").await.error(), "UNAUTHENTICATED");
        // Signing in is checked before the input.
        assert_eq!(
            change_password(&client, "", "short").await.error(),
            "UNAUTHENTICATED"
        );
    }
}
