//! Whether what was said of something is there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::model::{Kind, Thing, Word};
use super::Verdict;

impl Verdict<'_> {
    pub(super) async fn wrong_words(&self, thing: &Thing, row: &Value) -> Option<String> {
        // Others have none, and the service does not tell of them.
        let members = if thing.kind == Kind::Image && row["visibility"] == "shared" {
            self.server.list(&format!("{}/members", thing.path()), "members").await
        } else {
            Vec::new()
        };
        let members: BTreeMap<&str, &str> = members
            .iter()
            .map(|member| (member["member_id"].as_str().unwrap(), member["status"].as_str().unwrap()))
            .collect();
        for ((word, name), told) in &thing.words {
            let said = match word {
                Word::Metadata => row["metadata"][name].as_str(),
                Word::Property => row[name].as_str(),
                Word::Tag => {
                    let is_there = |tag: &&str| row["tags"].as_array().unwrap().iter().any(|one| one == tag);
                    Some(name.as_str()).filter(is_there)
                }
                Word::Member => members.get(name.as_str()).copied(),
            };
            if !told.agrees(&said.map(str::to_owned)) {
                return Some(format!("{word:?} {name} is {said:?}, and was told as {told:?}"));
            }
        }
        None
    }
}
