//! Images that are signed.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Answer, Api, BYTES, JSON, V2_1, ask};
use crate::support::regions::{self, Region};
use crate::support::signer::{self, ID, certify, openssl};

const CONTENT: &[u8] = b"these bytes are signed";

fn sign(folder: &std::path::Path, kind: &str, method: &str, salt: &str) -> String {
    signer::sign(folder, kind, method, salt, CONTENT)
}

fn signed(signature: &str, method: &str, kind: &str, certificate: &str) -> Value {
    json!({
        "disk_format": "raw", "container_format": "bare",
        "img_signature": signature, "img_signature_hash_method": method, "img_signature_key_type": kind,
        "img_signature_certificate_uuid": certificate,
    })
}

impl Api {
    async fn with_certificates(folder: &std::path::Path) -> Self {
        let folder = folder.to_str().unwrap();
        Api::with(&[("PUMICE_IMAGES__CERTIFICATES_DIRECTORY", folder)]).await
    }

    async fn upload(&self, id: &str, bytes: &'static [u8]) -> Answer {
        let headers = [BYTES, JSON, ("x-auth-token", "the-token")];
        self.send("PUT", &format!("/v2/images/{id}/file"), &headers, bytes).await
    }

    async fn status(&self, id: &str) -> Value {
        self.get(&format!("/v2/images/{id}")).await.is(200).json()["status"].clone()
    }

    /// Of the last task.
    async fn last_message(&self, id: &str) -> Value {
        self.get(&format!("/v2/images/{id}/tasks")).await.is(200).json()["tasks"][0]["message"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_is_taken_and_nothing_else() {
    for (kind, method) in [
        ("RSA-PSS", "SHA-224"),
        ("RSA-PSS", "SHA-256"),
        ("RSA-PSS", "SHA-384"),
        ("RSA-PSS", "SHA-512"),
        ("DSA", "SHA-256"),
        ("ECC_SECP384R1", "SHA-384"),
        ("ECC_SECP521R1", "SHA-512"),
        ("ECC_SECT571R1", "SHA-224"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        certify(folder.path(), kind);
        let api = Api::with_certificates(folder.path()).await;
        let id = api.image(signed(&sign(folder.path(), kind, method, "max"), method, kind, ID)).await;
        let refusal = format!("Signature verification failed for image {id}: Signature verification failed");
        api.upload(&id, b"these bytes are others").await.fault(400, &refusal);
        assert_eq!(api.status(&id).await, "queued");
        // The bytes are gone: others may come.
        api.upload(&id, CONTENT).await.is(204);
        assert_eq!(api.status(&id).await, "active", "{kind} {method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_checked_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "RSA-PSS");
    let good = sign(folder.path(), "RSA-PSS", "SHA-256", "max");
    let api = Api::with_certificates(folder.path()).await;
    let gone = "99999999-2222-4333-8444-555555555555";
    std::fs::write(folder.path().join(format!("{gone}.pem")), "no certificate").unwrap();
    let other = "88888888-2222-4333-8444-555555555555";
    for (body, reason) in [
        (signed(&good, "SHA-1", "RSA-PSS", ID), "Invalid signature hash method: SHA-1"),
        (signed(&good, "SHA-256", "RSA", ID), "Invalid signature key type: RSA"),
        (signed("abc", "SHA-256", "RSA-PSS", ID), "The signature data was not properly encoded using base64"),
        (signed(&good, "SHA-256", "DSA", ID), "Invalid public key type for signature key type: DSA"),
        (signed("", "SHA-256", "RSA-PSS", ID), "Error occurred while creating the verifier"),
        (signed(&good, "SHA-256", "RSA-PSS", gone), "Invalid certificate format: it is no X.509"),
        (signed(&good, "SHA-256", "RSA-PSS", other), &format!("Certificate not found with ID: {other}")),
        (signed(&good, "SHA-256", "RSA-PSS", "../key"), "Certificate not found with ID: ../key"),
    ] {
        let id = api.image(body).await;
        let what = "Signature verification for the image failed";
        let refusal = format!("Signature verification failed for image {id}: {what}: {reason}.");
        api.upload(&id, CONTENT).await.fault(400, &refusal);
        assert_eq!(api.status(&id).await, "queued");
    }
    // Only the longest salt will do, as in the real service.
    let short = sign(folder.path(), "RSA-PSS", "SHA-256", "digest");
    let id = api.image(signed(&short, "SHA-256", "RSA-PSS", ID)).await;
    api.upload(&id, CONTENT).await.is(400);

    // With fewer properties it is not signed.
    let mut fewer = signed("abc", "SHA-256", "RSA-PSS", ID);
    fewer.as_object_mut().unwrap().remove("img_signature_key_type");
    let id = api.image(fewer).await;
    api.upload(&id, CONTENT).await.is(204);

    // Nowhere to look for certificates: none is trusted.
    let api = Api::start().await;
    let id = api.image(signed(&good, "SHA-256", "RSA-PSS", ID)).await;
    let refusal = format!(
        "Signature verification failed for image {id}: Signature verification for the image failed: Unable to \
         retrieve certificate with ID: {ID}."
    );
    api.upload(&id, CONTENT).await.fault(400, &refusal);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_is_held_against_its_signature() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "RSA-PSS");
    let good = sign(folder.path(), "RSA-PSS", "SHA-256", "max");
    let routes = axum::Router::new()
        .route("/good", get(async || CONTENT))
        .route("/bad", get(async || "these bytes are others"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let api = Api::with(&[
        ("PUMICE_IMAGES__CERTIFICATES_DIRECTORY", folder.path().to_str().unwrap()),
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_HOSTS", "[\"127.0.0.1\"]"),
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_PORTS", "[]"),
    ])
    .await;
    let import = async |id: &str, method: Value| {
        let body = json!({"method": method}).to_string();
        api.send("POST", &format!("/v2/images/{id}/import"), &[JSON], body).await
    };
    let stage = async |id: &str, bytes: &'static [u8]| {
        api.send("PUT", &format!("/v2/images/{id}/stage"), &[BYTES], bytes).await.is(204);
    };
    let properties = signed(&good, "SHA-256", "RSA-PSS", ID);
    for (method, path) in [("glance-direct", ""), ("web-download", "/bad")] {
        let id = api.image(properties.clone()).await;
        if path.is_empty() {
            stage(&id, b"these bytes are others").await;
        }
        let uri = format!("{server}{path}");
        import(&id, json!({"name": method, "uri": uri})).await.is(202);
        api.settle().await;
        assert_eq!(api.status(&id).await, "queued");
        assert_eq!(api.last_message(&id).await, "Signature verification failed.");
        // The bytes are gone: others may come.
        if path.is_empty() {
            stage(&id, CONTENT).await;
        }
        import(&id, json!({"name": method, "uri": format!("{server}/good")})).await.is(202);
        api.settle().await;
        assert_eq!(api.status(&id).await, "active", "{method}");
    }

    // Whose certificate nobody knows is refused at once.
    let other = "88888888-2222-4333-8444-555555555555";
    let id = api.image(signed(&good, "SHA-256", "RSA-PSS", other)).await;
    stage(&id, CONTENT).await;
    let refused = import(&id, json!({"name": "glance-direct"})).await;
    refused.fault(
        400,
        &format!(
            "Signature verification failed for image {id}: Signature verification for the image failed: Certificate \
             not found with ID: {other}."
        ),
    );
    assert_eq!(api.status(&id).await, "uploading");

    // Likewise where the image is made for it.
    let task = |path: &str| {
        json!({"type": "import", "input": {
            "import_from": format!("{server}{path}"), "import_from_format": "raw", "image_properties": properties,
        }})
        .to_string()
    };
    for (path, status) in [("/good", 200), ("/bad", 404)] {
        let made = api.send("POST", "/v2/tasks", &[JSON], task(path)).await.is(201).json();
        api.settle().await;
        let id = made["image_id"].as_str().unwrap();
        api.get(&format!("/v2/images/{id}")).await.is(status);
    }
}

/// One may say that it is signed when its bytes are there: nobody has looked yet.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_copied_is_held_against_its_signature() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "RSA-PSS");
    let api = Api::with(&[
        ("PUMICE_IMAGES__CERTIFICATES_DIRECTORY", folder.path().to_str().unwrap()),
        ("PUMICE_IMAGE_STORES__SECOND__DIRECTORY", "@/second"),
    ])
    .await;
    let id = api.sealed(CONTENT).await;
    for (content, places, message) in
        [(&b"others"[..], "default", "Signature verification failed."), (CONTENT, "default,second", "")]
    {
        let properties = signer::properties(folder.path(), content);
        let properties = properties
            .iter()
            .map(|(name, value)| json!({"op": "add", "path": format!("/{name}"), "value": value}));
        api.patch(&id, V2_1, properties.collect()).await.is(200);
        let body = json!({"method": {"name": "copy-image"}, "stores": ["second"]}).to_string();
        api.send("POST", &format!("/v2/images/{id}/import"), &[JSON], body).await.is(202);
        api.settle().await;
        let image = api.get(&format!("/v2/images/{id}")).await.is(200).json();
        assert_eq!((&image["status"], &image["stores"]), (&json!("active"), &json!(places)));
        assert_eq!(api.last_message(&id).await, message);
    }
}

/// A Barbican with one secret, for who has the token; and those that were deleted.
async fn barbican(secret: Vec<u8>, token: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let is_let_in = move |headers: &HeaderMap| headers.get("x-auth-token").is_some_and(|it| it == token);
    let metadata =
        json!({"secret_type": "certificate", "content_types": {"default": "application/octet-stream"}});
    let deleted = Arc::new(Mutex::new(Vec::new()));
    let noted = deleted.clone();
    let delete = move |Path(id): Path<String>, headers: HeaderMap| async move {
        assert!(is_let_in(&headers));
        noted.lock().unwrap().push(id);
        StatusCode::NO_CONTENT
    };
    let show = move |Path(id): Path<String>, headers: HeaderMap| async move {
        assert!(is_let_in(&headers));
        if id == ID { Ok(Json(metadata)) } else { Err(StatusCode::NOT_FOUND) }
    };
    let payload = move |headers: HeaderMap| async move {
        assert!(is_let_in(&headers) && headers["accept"] == "application/octet-stream");
        secret
    };
    let routes = axum::Router::new()
        .route("/v1/secrets/{id}", get(show).delete(delete))
        .route(&format!("/v1/secrets/{ID}/payload"), get(payload));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (address, deleted)
}

#[tokio::test(flavor = "multi_thread")]
async fn barbican_is_asked_with_the_callers_token() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "ECC_SECP384R1");
    let signature = sign(folder.path(), "ECC_SECP384R1", "SHA-256", "");
    // Castellan stores them as DER.
    openssl(folder.path(), &format!("x509 -in {ID}.pem -outform DER -out der"));
    let secret = std::fs::read(folder.path().join("der")).unwrap();
    let (address, _) = barbican(secret, "the-token").await;
    let api = Api::with(&[("PUMICE_BARBICAN__BARBICAN_ENDPOINT", &address)]).await;
    let id = api.image(signed(&signature, "SHA-256", "ECC_SECP384R1", ID)).await;
    api.upload(&id, b"others").await.is(400);
    api.upload(&id, CONTENT).await.is(204);
    assert_eq!(api.status(&id).await, "active");

    let other = "88888888-2222-4333-8444-555555555555";
    let id = api.image(signed(&signature, "SHA-256", "ECC_SECP384R1", other)).await;
    let said = api.upload(&id, CONTENT).await.is(400).message();
    assert!(said.contains(&format!("Certificate not found with ID: {other}.")), "{said}");
}

/// The job that takes the bytes in has nobody's token.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_a_signed_image_on_the_web_is_checked_with_the_callers_token() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "ECC_SECP384R1");
    let secret = std::fs::read(folder.path().join(format!("{ID}.pem"))).unwrap();
    let (address, _) = barbican(secret, "the-token").await;
    let routes = axum::Router::new().route("/disk", get(async || CONTENT));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/disk", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let api = Api::with(&[
        ("PUMICE_BARBICAN__BARBICAN_ENDPOINT", &address),
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_HOSTS", "[\"127.0.0.1\"]"),
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_PORTS", "[]"),
        ("PUMICE_IMAGE_STORES__WEB__STORE", "http"),
    ])
    .await;
    let headers = [
        ("content-type", "application/json"),
        ("openstack-api-version", "volume latest"),
        ("x-auth-token", "the-token"),
    ];
    let ask_volumes = async |method: &str, path: &str, body: Value| {
        ask(&api.routes, method, &format!("/volume/v3/volumes{path}"), &headers, body.to_string().into())
            .await
    };
    let status = async |volume: &str| {
        api.settle().await;
        ask_volumes("GET", &format!("/{volume}"), json!({})).await.is(200).json()["volume"]["status"].clone()
    };
    for (content, ends) in [(CONTENT, "available"), (b"others", "error")] {
        let signature = signer::sign(folder.path(), "ECC_SECP384R1", "SHA-256", "", content);
        let image = api.image(signed(&signature, "SHA-256", "ECC_SECP384R1", ID)).await;
        let location = json!({"url": url}).to_string();
        api.send("POST", &format!("/v2/images/{image}/locations"), &[JSON], location).await.is(202);
        api.settle().await;
        let body = json!({"volume": {"size": 1, "imageRef": image}});
        let made = ask_volumes("POST", "", body).await.is(202).json();
        let volume = made["volume"]["id"].as_str().unwrap();
        assert_eq!(status(volume).await, ends);
        let reimage = json!({"os-reimage": {"image_id": image}});
        ask_volumes("POST", &format!("/{volume}/action"), reimage).await.is(202);
        assert_eq!(status(volume).await, ends);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_of_another_region_is_checked_with_the_importers_token() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "ECC_SECP384R1");
    let secret = std::fs::read(folder.path().join(format!("{ID}.pem"))).unwrap();
    let (address, _) = barbican(secret, regions::TOKEN).await;
    let region = Region::play(CONTENT.to_vec()).await;
    let mut options = region.keystone.options();
    options.push(("PUMICE_BARBICAN__BARBICAN_ENDPOINT", address));
    let copied = "[\"img_signature\"]".to_owned();
    options.push(("PUMICE_GLANCE_DOWNLOAD_PROPERTIES__EXTRA_PROPERTIES", copied));
    let options: Vec<_> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let api = Api::with(&options).await;
    let alice = [JSON, ("x-auth-token", regions::TOKEN)];
    let formats = json!({"disk_format": "raw", "container_format": "bare"}).to_string();
    let made = api.send("POST", "/v2/images", &alice, formats).await.is(201).json();
    let path = format!("/v2/images/{}", made["id"].as_str().unwrap());
    let import = json!({"method": {
        "name": "glance-download", "glance_region": "two", "glance_image_id": regions::IMAGE,
    }})
    .to_string();
    for (content, status) in [(&b"others"[..], "queued"), (CONTENT, "active")] {
        let signature = signer::sign(folder.path(), "ECC_SECP384R1", "SHA-256", "", content);
        let said = signed(&signature, "SHA-256", "ECC_SECP384R1", ID);
        for (name, value) in said.as_object().unwrap() {
            region.says(name, value.clone());
        }
        api.send("POST", &format!("{path}/import"), &alice, import.clone()).await.is(202);
        api.settle_for(&alice).await;
        let image = api.send("GET", &path, &alice, "").await.is(200).json();
        assert_eq!(image["status"], status);
        let has_come = status == "active";
        assert_eq!(image["img_signature"], if has_come { json!(signature) } else { Value::Null });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_an_encrypted_image_goes_with_it_when_it_says_so() {
    let (address, deleted) = barbican(Vec::new(), "the-token").await;
    let api = Api::with(&[("PUMICE_BARBICAN__BARBICAN_ENDPOINT", &address)]).await;
    let policy = "cinder_encryption_key_deletion_policy";
    for (key, says) in [("no-uuid", "on_image_deletion"), (ID, "do_not_delete"), (ID, "on_image_deletion")] {
        let id = api.image(json!({"cinder_encryption_key_id": key, policy: says})).await;
        assert!(deleted.lock().unwrap().is_empty());
        let headers = [JSON, ("x-auth-token", "the-token")];
        api.send("DELETE", &format!("/v2/images/{id}"), &headers, "").await.is(204);
    }
    assert_eq!(*deleted.lock().unwrap(), [ID]);
}
