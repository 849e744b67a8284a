//! The documents in `openapi/` are what the code says.

use std::path::Path;

use pumice::commands::openapi::documents;

#[test]
fn the_documents_are_those_of_the_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi");
    for (name, text) in documents().unwrap() {
        let found = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(found == text, "openapi/{name} is not what the code says: run `make openapi`");
    }
}
