//! Every command of `openstack` and `glance` for images, as it is typed in a terminal: `sessions/*.txt` say what is
//! typed, and what must be printed then.
//!
//! `$ ` begins a command for the shell, which must succeed. What is below it must be among the lines that it prints, in
//! this order and word by word; `(nothing)` says that it prints none. A word `$name` that is not known yet stands for any,
//! and is known from there on, to the commands that follow, too. The jobs of a command end before the next one is typed.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::PathBuf;
use std::process::Command;

use super::client;
use crate::house::DatabaseKind;
use crate::identity::shell::{log_in, password, place};
use crate::identity::{by_password, project};
use crate::process::{Place, Server};

/// Both show how far they are only to a terminal, and `glance` takes any other input for the bytes of an image.
const TERMINAL: &str =
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(['sh', '-c', sys.argv[1]])))";

/// A command, and the lines that it must print.
fn steps(session: &str) -> Vec<(&str, Vec<&str>)> {
    let mut steps: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in session.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("$ ") {
            Some(command) => steps.push((command, Vec::new())),
            None => steps.last_mut().unwrap().1.push(line),
        }
    }
    steps
}

/// What the programs read of a user. Only `openstack` knows `clouds.yaml`.
fn environment(place: &Place, server: &Server) -> BTreeMap<String, String> {
    let programs = PathBuf::from(client(place, "python").get_program());
    let programs = programs.parent().unwrap().display();
    let variables = [
        ("PATH", format!("{programs}:{}", env::var("PATH").unwrap())),
        // Where `glance` keeps the schemas of a service.
        ("HOME", place.folder.path().display().to_string()),
        ("TERM", "dumb".to_owned()),
        ("OS_AUTH_URL", format!("{}/identity/v3", server.url)),
        ("OS_IMAGE_URL", format!("{}/image", server.url)),
        ("OS_USERNAME", "admin".to_owned()),
        ("OS_PASSWORD", password(place)),
        ("OS_PROJECT_NAME", "admin".to_owned()),
        ("OS_USER_DOMAIN_NAME", "Default".to_owned()),
        ("OS_PROJECT_DOMAIN_NAME", "Default".to_owned()),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn typed(place: &Place, server: &Server, command: &str, known: &BTreeMap<String, String>) -> String {
    let mut terminal = client(place, "python");
    terminal.args(["-c", TERMINAL, command]).envs(known);
    let output = tokio::task::spawn_blocking(move || terminal.output().unwrap()).await.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n").replace('\r', "\n");
    assert!(output.status.success(), "$ {command}\n{printed}\nThe service says:\n{}", server.log());
    printed
}

/// Whether a line is the expected one; names that are new in it are known then.
fn fits(line: &str, expected: &str, known: &mut BTreeMap<String, String>) -> bool {
    let mut expected = expected.to_owned();
    for (name, word) in known.iter().rev() {
        expected = expected.replace(&format!("${name}"), word);
    }
    let (words, expected): (Vec<&str>, Vec<&str>) =
        (line.split_whitespace().collect(), expected.split_whitespace().collect());
    let is_it = words.len() == expected.len()
        && words.iter().zip(&expected).all(|(word, expected)| word == expected || expected.starts_with('$'));
    if is_it {
        let new =
            words.iter().zip(&expected).filter_map(|(word, name)| Some((name.strip_prefix('$')?, word)));
        known.extend(new.map(|(name, word)| (name.to_owned(), (*word).to_owned())));
    }
    is_it
}

async fn play(session: &str) {
    let disk: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let (routes, served) = (axum::Router::new(), disk.clone());
    let routes = routes.route("/disk.img", axum::routing::get(async move || served));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/disk.img", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let mut place = place(DatabaseKind::Sqlite).await;
    let second = place.folder.path().join("second").display().to_string();
    place.options.extend([
        ("PUMICE_IMAGE_STORES__SECOND__DIRECTORY", second),
        ("PUMICE_IMAGE_STORES__WEB__STORE", "http".to_owned()),
        ("PUMICE_IMAGES__SHOW_MULTIPLE_LOCATIONS", "true".to_owned()),
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_HOSTS", "[\"127.0.0.1\"]".to_owned()),
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_PORTS", "[]".to_owned()),
    ]);
    std::fs::write(place.folder.path().join("disk.img"), disk).unwrap();
    let mut server = place.start();
    let admin = by_password("admin", &password(&place), project("admin"));
    server.token = Some(log_in(&server, &admin).await.unwrap());

    let mut known = environment(&place, &server);
    known.insert("url".to_owned(), url);
    for (command, expected) in steps(session) {
        let printed = typed(&place, &server, command, &known).await;
        let mut lines = printed.lines();
        for expected in expected {
            let is_there = match expected {
                "(nothing)" => printed.trim().is_empty(),
                expected => lines.any(|line| fits(line, expected, &mut known)),
            };
            assert!(is_there, "$ {command}\n{printed}\nThere is no line\n{expected}");
        }
        server.settle().await;
    }
    place.assert_empty(server).await;
}

macro_rules! sessions {
    ($($name:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                play(include_str!(concat!("sessions/", stringify!($name), ".txt"))).await;
            }
        )+
        const SESSIONS: &[&str] = &[$(include_str!(concat!("sessions/", stringify!($name), ".txt"))),+];
    };
}
sessions! {
    images_with_glance,
    images_with_openstack,
    locations_and_tasks,
    members_and_limits,
    metadata_with_glance,
    metadata_with_openstack,
    no_cache,
}

/// What the installed clients have: theirs to say, not ours. What can show how far it is must do so, and says it first.
const COMMANDS: &str = "
from importlib.metadata import entry_points
from glanceclient.v2 import shell
def say(command, options):
    print(command + ' --progress' if '--progress' in options else command)
for point in entry_points(group='openstack.image.v2'):
    parser = point.load()(None, None).get_parser('')
    say('openstack ' + point.name.replace('_', ' '), parser._option_string_actions)
for name, do in vars(shell).items():
    if name.startswith('do_'):
        options = [option for options, _ in getattr(do, 'arguments', []) for option in options]
        say('glance ' + name[3:].replace('_', '-'), options)
";

#[test]
fn every_command_for_images_is_typed() {
    let folder = env::var_os("PUMICE_TEST_CLIENTS").unwrap();
    let mut python = Command::new(PathBuf::from(folder).join("python"));
    let output = python.args(["-c", COMMANDS]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let commands = String::from_utf8(output.stdout).unwrap();
    let commands: BTreeSet<&str> = commands.lines().collect();
    assert!(commands.len() > 100, "{commands:?}");
    let mut missing = commands.clone();
    for (typed, _) in SESSIONS.iter().flat_map(|session| steps(session)) {
        for part in typed.split("; ") {
            let part = format!("{} ", part.trim_start_matches("! "));
            let begins = commands.iter().filter(|command| part.starts_with(&format!("{command} ")));
            if let Some(longest) = begins.max_by_key(|command| command.len()) {
                missing.remove(longest);
            }
        }
    }
    assert!(missing.is_empty(), "no session has {missing:#?}");
}
