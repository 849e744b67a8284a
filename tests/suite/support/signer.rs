//! Somebody who signs images, with the `openssl` command.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Of the certificate.
pub const ID: &str = "11111111-2222-4333-8444-555555555555";

pub fn openssl(folder: &Path, arguments: &str) {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = Command::new("openssl").args(&arguments).current_dir(folder).output();
    let output = output.expect("openssl is missing: run the tests with `make test`");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A key and its certificate, in `key` and `<ID>.pem`.
pub fn certify(folder: &Path, kind: &str) {
    let key = match kind {
        "DSA" => {
            openssl(folder, "dsaparam -out parameters 1024");
            "dsa:parameters".to_owned()
        }
        "RSA-PSS" => "rsa:2048".to_owned(),
        curve => {
            let curve = curve.strip_prefix("ECC_").unwrap().to_lowercase();
            openssl(folder, &format!("ecparam -name {curve} -out parameters"));
            "ec:parameters".to_owned()
        }
    };
    let request = format!("req -x509 -newkey {key} -nodes -keyout key -out {ID}.pem -subj /CN=signer");
    openssl(folder, &request);
}

pub fn sign(folder: &Path, kind: &str, method: &str, salt: &str, content: &[u8]) -> String {
    std::fs::write(folder.join("content"), content).unwrap();
    let options = match kind {
        "RSA-PSS" => format!(" -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:{salt}"),
        _ => String::new(),
    };
    let digest = method.replace('-', "").to_lowercase();
    openssl(folder, &format!("dgst -{digest} -sign key{options} -out signature content"));
    STANDARD.encode(std::fs::read(folder.join("signature")).unwrap())
}

/// What an image with these bytes says of itself, where the key is one for RSA.
pub fn properties(folder: &Path, content: &[u8]) -> BTreeMap<String, String> {
    let signature = sign(folder, "RSA-PSS", "SHA-256", "max", content);
    let said = [
        ("img_signature", signature.as_str()),
        ("img_signature_hash_method", "SHA-256"),
        ("img_signature_key_type", "RSA-PSS"),
        ("img_signature_certificate_uuid", ID),
    ];
    said.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
