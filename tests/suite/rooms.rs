//! Which rooms of the crate call which: the table in `docs/architecture.md`, and the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

type Rooms = BTreeSet<String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// Each room with those that it may call, from the top down.
fn told() -> Vec<(String, Rooms)> {
    let page = read(root().join("docs/architecture.md"));
    let from_table = page.lines().skip_while(|line| !line.starts_with("| Room |")).skip(2);
    from_table.take_while(|line| line.starts_with('|')).map(row).collect()
}

fn row(line: &str) -> (String, Rooms) {
    let cells: Vec<&str> = line.split('|').collect();
    let [_, room, _, calls, _] = cells[..] else { panic!("{line}") };
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    (quoted(room).concat(), quoted(calls).into_iter().collect())
}

/// The rooms that the code of one names.
fn called(room: &str) -> Rooms {
    let source = root().join("src").join(room);
    let files = if source.is_dir() { files_in(&source) } else { vec![source.with_extension("rs")] };
    let mut called: Rooms = files.iter().flat_map(|file| named(&code(&read(file)))).collect();
    called.remove(room);
    called
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = paths.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Without comments and tests.
fn code(text: &str) -> String {
    let mut is_test = false;
    let is_code = |line: &&str| {
        is_test |= *line == "#[cfg(test)]";
        let is_code = !is_test && !line.trim_start().starts_with("//");
        is_test &= *line != "}";
        is_code
    };
    text.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// What stands behind each `crate::`, which may be a list.
fn named(code: &str) -> Rooms {
    let paths = code.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        Some(list) => list.split('}').next().unwrap().split(',').collect(),
        None => vec![rest],
    });
    let first =
        |path: &str| path.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned);
    paths.filter_map(first).collect()
}

#[test]
fn all_rooms_are_told_of() {
    let map = read(root().join("src/lib.rs"));
    let rooms = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let told: Rooms = told().into_iter().map(|(room, _)| room).collect();
    assert_eq!(told, rooms.map(str::to_owned).collect());
    for room in told {
        assert!(map.contains(&format!("[`{room}`]")), "{room}");
    }
}

#[test]
fn rooms_call_those_that_the_table_says() {
    for (room, told) in told() {
        assert_eq!(called(&room), told, "{room}");
    }
}

#[test]
fn calls_go_downwards() {
    let table = told();
    for (above, (room, calls)) in table.iter().enumerate() {
        let below: Rooms = table[above + 1..].iter().map(|(room, _)| room.clone()).collect();
        assert!(calls.is_subset(&below), "{room} calls upwards: {:?}", calls - &below);
    }
}

#[test]
fn paths_are_found_where_they_stand() {
    let text = "use crate::a::b;\n// crate::c\nuse crate::{d, e};\nfn f() {\n    crate::g::h();\n}\n\n\
        #[cfg(test)]\nmod tests {\n    use crate::i;\n}\n\nuse crate::j;\n";
    let expected = ["a", "d", "e", "g", "j"].map(str::to_owned);
    assert_eq!(named(&code(text)), Rooms::from(expected));
}
