//! The version before goes on while the next one has migrated: migrations only add, and what they add need not be known.

use std::collections::BTreeSet;
use std::path::Path;

/// What else was done, and why nobody was harmed.
const EXCEPTIONS: [(&str, &str, &str); 3] = [
    ("0011_image_stores.sql", "ALTER TABLE images DROP COLUMN location", "before the first release"),
    ("0011_image_stores.sql", "ALTER TABLE staged_images DROP COLUMN taken", "before the first release"),
    (
        "0018_stand_ins.sql",
        "CREATE UNIQUE INDEX volumes_name_id ON volumes (name_id) WHERE name_id IS NOT NULL",
        "who does not know the column leaves it empty",
    ),
];

fn statements(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let words = |statement: &str| statement.split_whitespace().collect::<Vec<_>>().join(" ");
    code.join("\n").split(';').map(words).filter(|statement| !statement.is_empty()).collect()
}

/// Whether statements of somebody who does not know of it still do what they did.
fn only_adds(statement: &str) -> bool {
    let statement = statement.to_uppercase();
    let has = |words: &str| format!(" {statement} ").contains(&format!(" {words} "));
    match statement.split(' ').take(2).collect::<Vec<_>>()[..] {
        ["CREATE", "TABLE" | "INDEX"] | ["INSERT", "INTO"] => true,
        ["ALTER", "TABLE"] => {
            has("ADD COLUMN")
                && (!has("NOT NULL") || has("DEFAULT"))
                && !["UNIQUE", "PRIMARY KEY", "CHECK"].iter().any(|words| has(words))
        }
        _ => false,
    }
}

#[test]
fn migrations_only_add() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut others = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        for statement in statements(&std::fs::read_to_string(&path).unwrap()) {
            if !only_adds(&statement) {
                others.insert((file.clone(), statement));
            }
        }
    }
    let excepted = EXCEPTIONS.map(|(file, statement, _)| (file.to_owned(), statement.to_owned()));
    assert_eq!(others, excepted.into(), "see docs/operations.md, Upgrade");
}

#[test]
fn what_more_than_adds_is_told_apart() {
    for adds in [
        "CREATE TABLE a (b TEXT NOT NULL UNIQUE)",
        "ALTER TABLE a ADD COLUMN b TEXT REFERENCES c (id)",
        "alter table a add column b BIGINT NOT NULL DEFAULT 0",
    ] {
        assert!(only_adds(adds), "{adds}");
    }
    for harms in [
        "ALTER TABLE a ADD COLUMN b BIGINT NOT NULL",
        "ALTER TABLE a RENAME COLUMN b TO c",
        "ALTER TABLE a ALTER COLUMN b SET NOT NULL",
        "ALTER TABLE a ADD COLUMN b TEXT UNIQUE",
        "CREATE UNIQUE INDEX a ON b (c)",
        "DROP TABLE a",
        "DROP INDEX a",
        "UPDATE a SET b = 1",
    ] {
        assert!(!only_adds(harms), "{harms}");
    }
}
