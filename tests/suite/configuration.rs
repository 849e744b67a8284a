//! The configuration: what wins, what is refused, and that reference and examples are true.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use pumice::config::{Config, DatabaseKind, LogFormat, Seconds, StoreKind, reference};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pumice.toml");
    std::fs::write(&path, file).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load_with(Some(&path), variables)
        .map_err(|error| error.to_string().replace(&path.display().to_string(), "pumice.toml"))
}

fn refused(file: &str, variables: &[(&str, &str)]) -> String {
    load(file, variables).unwrap_err()
}

fn pumice() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pumice"));
    command.env_clear();
    command
}

#[test]
fn nothing_needs_to_be_configured() {
    let config = Config::load_with(None, []).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.database.url.kind(), DatabaseKind::Sqlite);
    assert_eq!(config.images.object_size(), 8 << 20);
    assert_eq!(config.volumes.backend().object_size(), 4 << 20);
    assert!(config.api.listen.ip().is_loopback());
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = "[images]\nstore = \"rbd\"\nwrites_in_flight = 2\n[jobs]\nworkers = 5\n";
    let variables = [("PUMICE_JOBS__WORKERS", "7"), ("PUMICE_IMAGES__COMPUTE_DIGESTS", "false")];
    let config = load(file, &variables).unwrap();
    assert_eq!(config.images.store, StoreKind::Rbd);
    assert_eq!(config.images.writes_in_flight, 2);
    assert!(!config.images.compute_digests);
    assert_eq!(config.jobs.workers, 7);
    assert_eq!(config.jobs.lease, Seconds(30));
}

#[test]
fn a_variable_is_taken_for_what_its_option_is() {
    let variables = [
        // Digits, but a text.
        ("PUMICE_IDENTITY__PROJECT_ID", "00000000000000000000000000000042"),
        ("PUMICE_VOLUMES__RBD_USER", "1"),
        ("PUMICE_VOLUMES__RBD_MAX_CLONE_DEPTH", "-1"),
        ("PUMICE_LOG__FORMAT", "json"),
        ("PUMICE_API__IMAGE_LISTEN", "0.0.0.0:9292"),
        // Not set, as far as anybody can tell.
        ("PUMICE_IMAGES__RBD_STORE_USER", ""),
        // Not options.
        ("PUMICE_CONFIG", "elsewhere.toml"),
        ("PUMICE_TEST_POSTGRES", "postgres://"),
        ("PATH", "/bin"),
    ];
    let config = load("", &variables).unwrap();
    assert_eq!(config.identity.project_id, "00000000000000000000000000000042");
    assert_eq!(config.volumes.rbd_user.as_deref(), Some("1"));
    assert_eq!(config.volumes.rbd_max_clone_depth, -1);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.api.image_listen.unwrap().port(), 9292);
    assert_eq!(config.images.rbd_store_user, None);
}

#[test]
fn a_backend_has_a_section_of_its_own_in_the_file_and_in_the_environment() {
    let file = "[backends.fast]\nstore = \"rbd\"\nrbd_pool = \"nvme\"\n[backends.archive]\n";
    let variables = [
        ("PUMICE_BACKENDS__FAST__RBD_USER", "007"),
        ("PUMICE_BACKENDS__FAST__RBD_MAX_CLONE_DEPTH", "2"),
        ("PUMICE_BACKENDS__COLD__RBD_POOL", "tape"),
    ];
    let config = load(file, &variables).unwrap();
    let names: Vec<_> =
        config.all_backends().map(|(name, backend)| (name.to_owned(), backend.rbd_pool)).collect();
    let expected = [("directory", "rbd"), ("archive", "rbd"), ("cold", "tape"), ("fast", "nvme")]
        .map(|(n, p)| (n.into(), p.into()));
    assert_eq!(names, expected);
    let fast = &config.backends.0["fast"];
    assert_eq!(
        (fast.store, fast.rbd_user.as_deref(), fast.rbd_max_clone_depth),
        (StoreKind::Rbd, Some("007"), 2)
    );
}

#[test]
fn a_backend_is_refused_under_its_name() {
    let file = "[volumes]\nvolume_backend_name = \"fast\"\n[backends.fast]\nrbd_pool = \"../etc\"\n[backends.\"a@b\"]\n";
    let faults = refused(file, &[]);
    let options: Vec<_> = faults.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(options, ["backends.a@b", "backends.fast.rbd_pool", "backends.fast"], "{faults}");
    let unknown = refused("[backends.fast]\nrbd_pol = \"x\"\n", &[]);
    assert!(
        unknown.starts_with("backends.fast.rbd_pol: there is no such option; there are store, "),
        "{unknown}"
    );
    let no_section = refused("[backends]\nfast = 1\n", &[]);
    assert!(no_section.starts_with("backends.fast: must be a section with options"), "{no_section}");
}

#[test]
fn lists_and_tables_are_written_in_the_environment_as_in_a_file() {
    let variables = [
        ("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_PORTS", "[80, 8080]"),
        ("PUMICE_INJECT_METADATA_PROPERTIES__INJECT", "{a = \"b\"}"),
    ];
    let config = load("", &variables).unwrap();
    assert_eq!(config.import_filtering_opts.allowed_ports, [80, 8080]);
    assert_eq!(config.inject_metadata_properties.inject["a"], "b");
    let broken = refused("", &[("PUMICE_IMPORT_FILTERING_OPTS__ALLOWED_PORTS", "[80")]);
    assert!(broken.starts_with("import_filtering_opts.allowed_ports: "), "{broken}");
}

#[test]
fn an_image_store_has_a_section_and_a_place_of_its_own() {
    let file = "[image_stores.fast]\nstore = \"rbd\"\nrbd_store_pool = \"nvme\"\n";
    let config = load(file, &[("PUMICE_IMAGE_STORES__FAST__WEIGHT", "3")]).unwrap();
    let fast = &config.image_stores.0["fast"];
    assert_eq!((fast.rbd_store_pool.as_str(), fast.weight), ("nvme", 3));
    for (file, fault) in [
        (
            "[image_stores.default]\nstore = \"http\"\n",
            "image_stores.default: the store of [images] has this id",
        ),
        ("[image_stores.more]\n", "image_stores.more: another store of images is in this pool already"),
        ("[image_stores.\"a,b\"]\nstore = \"http\"\n", "image_stores.a,b: a store's id must be 1 to 64"),
    ] {
        let refusal = refused(file, &[]);
        assert!(refusal.contains(fault), "{refusal}");
    }
}

#[test]
fn an_old_name_still_works_and_precedence_with_it() {
    let file = "[volumes]\nvolume_tmp_dir = \"/old\"\n[jobs]\nrbd_concurrent_flatten_operations = 2\n";
    let config = load(file, &[]).unwrap();
    assert_eq!(config.volumes.image_conversion_dir, PathBuf::from("/old"));
    assert_eq!(config.jobs.concurrent_flatten_operations, 2);

    let config = load(file, &[("PUMICE_VOLUMES__IMAGE_CONVERSION_DIR", "/new")]).unwrap();
    assert_eq!(config.volumes.image_conversion_dir, PathBuf::from("/new"));

    let both = "[volumes]\nvolume_tmp_dir = \"/old\"\nimage_conversion_dir = \"/new\"\n";
    assert_eq!(
        refused(both, &[]),
        "volumes.image_conversion_dir: given twice, also as volume_tmp_dir (in pumice.toml)"
    );
}

#[test]
fn what_does_not_exist_is_refused_by_name() {
    let unknown = refused("[api]\nlistn = \"127.0.0.1:1\"\n", &[]);
    assert!(unknown.starts_with("api.listn: there is no such option; there are listen, "), "{unknown}");
    assert!(unknown.ends_with("(in pumice.toml)"), "{unknown}");

    let unknown = refused("", &[("PUMICE_API__LISTN", "127.0.0.1:1")]);
    assert!(unknown.starts_with("api.listn: there is no such option"), "{unknown}");
    assert!(unknown.ends_with("(in environment)"), "{unknown}");

    let unknown = refused("[apis]\nlisten = \"127.0.0.1:1\"\n", &[]);
    assert!(unknown.starts_with("apis: there is no such option; there are api, "), "{unknown}");

    let unknown = refused("listen = \"127.0.0.1:1\"\n", &[]);
    assert!(unknown.starts_with("listen: there is no such option"), "{unknown}");
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_by_name() {
    assert_eq!(
        refused("[images]\nstore = \"s3\"\n", &[]),
        "images.store: must be one of directory, rbd, not \"s3\" (in pumice.toml)"
    );
    assert_eq!(
        refused("[jobs]\nworkers = \"many\"\n", &[]),
        "jobs.workers: must be a whole number, 0 or more, not a text (in pumice.toml)"
    );
    assert_eq!(
        refused("[jobs]\nworkers = -1\n", &[]),
        "jobs.workers: must be a whole number, 0 or more, not a negative number (in pumice.toml)"
    );
    assert_eq!(
        refused("[jobs]\nworkers = 4294967296\n", &[]),
        "jobs.workers: must be a smaller number (in pumice.toml)"
    );
    assert_eq!(
        refused("", &[("PUMICE_JOBS__WORKERS", "many")]),
        "jobs.workers: PUMICE_JOBS__WORKERS must be a number, or true or false"
    );
    let address = refused("[api]\nlisten = \"everywhere\"\n", &[]);
    assert!(address.starts_with("api.listen: invalid socket address"), "{address}");
}

#[test]
fn values_that_make_no_sense_are_refused_all_at_once() {
    let file = "\
[api]
listen = \"127.0.0.1:8080\"
image_listen = \"127.0.0.1:8080\"
volume_public_endpoint = \"volumes.example\"
[images]
rbd_store_chunk_size = 7
limit_param_default = 2000
[volumes]
rbd_pool = \"../etc\"
[keystone_authtoken]
service_token_roles = [\"service\", \"\", \" admin\"]
[jobs]
heartbeat = 29
poll_interval = 601
[log]
filter = \"pumice=loud\"
";
    let faults = refused(file, &[]);
    let options: Vec<_> = faults.lines().filter_map(|line| line.split(':').next()).collect();
    let expected = [
        "api.image_listen",
        "api.volume_public_endpoint",
        "images.rbd_store_chunk_size",
        "images.limit_param_default",
        "volumes.rbd_pool",
        "jobs.heartbeat",
        "jobs.poll_interval",
        "log.filter",
        "keystone_authtoken.service_token_roles",
        "keystone_authtoken.service_token_roles",
    ];
    assert_eq!(options, expected, "{faults}");
    assert!(faults.contains("rbd_store_chunk_size: must be a power of two from 1 to 32, not 7"), "{faults}");
}

#[test]
fn checks_of_partition_tables_have_the_names_that_glance_gives_them() {
    let allows = |names: &str| {
        let file = format!("[images]\ngpt_safety_checks_nonfatal = {names}\n");
        load(&file, &[]).map(|config| config.images.format_rules().allow_invalid_partitions)
    };
    assert_eq!(allows("[]"), Ok(false));
    assert_eq!(allows("[\"mbr\", \"gptmbr\"]"), Ok(true));
    // Glance knows the word, and has no such check.
    assert_eq!(allows("[\"gptmbr\"]"), Ok(false));
    let refusal = "images.gpt_safety_checks_nonfatal: may hold mbr and gptmbr, not gpt";
    assert_eq!(allows("[\"gpt\"]"), Err(refusal.to_owned()));
}

#[test]
fn who_is_to_tell_nova_is_said_in_full_or_not_at_all() {
    let faults = refused("[nova]\nauth_url = \"http://nova:s3cret@127.0.0.1/identity\"\ntimeout = 0\n", &[]);
    let options: Vec<_> = faults.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(options, ["nova.auth_url", "nova.password", "nova.timeout"], "{faults}");
    assert!(!faults.contains("s3cret"), "{faults}");
    refused("[nova]\ninterface = \"secret\"\n", &[]);
    let told = [
        ("PUMICE_NOVA__AUTH_URL", "http://127.0.0.1:5000"),
        ("PUMICE_NOVA__PASSWORD", "s3cret"),
        ("PUMICE_NOVA__INTERFACE", "internal"),
    ];
    let config = load("", &told).unwrap();
    assert!(config.nova.credentials().is_some_and(|of| of.section == "nova"));
    assert!(!format!("{config:?}").contains("s3cret"));
    assert!(load("", &[]).unwrap().nova.credentials().is_none());
}

#[test]
fn without_identity_only_this_machine_may_reach_the_ports() {
    let none = "[identity]\nmode = \"none\"\n";
    let listeners = "[api]\nlisten = \"0.0.0.0:8080\"\nvolume_listen = \"10.0.0.1:8776\"\n";
    let faults = refused(&format!("{none}{listeners}"), &[]);
    let options: Vec<_> = faults.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(options, ["api.listen", "api.volume_listen"], "{faults}");
    assert!(faults.contains("identity.insecure_listen = true"), "{faults}");

    let told_twice = format!("{none}insecure_listen = true\n{listeners}");
    assert_eq!(load(&told_twice, &[]).unwrap().api.listen.to_string(), "0.0.0.0:8080");
    load(&format!("{none}[api]\nlisten = \"[::1]:8080\"\n"), &[]).unwrap();
}

#[test]
fn a_broken_file_is_named_with_its_line_and_a_missing_one_too() {
    let broken = refused("[api]\n\nlisten = = 1\n", &[]);
    assert!(broken.starts_with("pumice.toml, line 3: "), "{broken}");

    let missing = Config::load_with(Some(Path::new("/nowhere/pumice.toml")), []).unwrap_err();
    assert_eq!(missing.to_string(), "/nowhere/pumice.toml: cannot be read");
}

#[test]
fn a_password_is_in_no_text() {
    let url = "postgres://pumice:s3cret@127.0.0.1/pumice";
    let config = load("", &[("PUMICE_DATABASE__URL", url)]).unwrap();
    assert_eq!(config.database.url.expose(), url);
    assert!(!format!("{config:?}").contains("s3cret"));

    for file in [
        // Not closed, the wrong place, the wrong kind, the wrong engine, no URL.
        "[database]\nurl = \"postgres://pumice:s3cret@127.0.0.1/pumice\n",
        "database = \"postgres://pumice:s3cret@127.0.0.1/pumice\"\n",
        "[database]\nmax_connections = \"postgres://pumice:s3cret@127.0.0.1/pumice\"\n",
        "[database]\nurl = \"mysql://pumice:s3cret@127.0.0.1/pumice\"\n",
        "[database]\nurl = \"postgres://pumice:s3cret@[::/pumice\"\n",
        "[images]\nrbd_store_user = [\"s3cret\"]\n",
    ] {
        let error = refused(file, &[]);
        assert!(!error.contains("s3cret"), "{error}");
    }

    // Of digits, and not in quotes.
    for (password, kind) in
        [("12345678", "a number"), ("-12345678", "a negative number"), ("1234.5678", "a fraction")]
    {
        for section in ["keystone_authtoken", "nova"] {
            assert_eq!(
                refused(&format!("[{section}]\npassword = {password}\n"), &[]),
                format!("{section}.password: must be a string, not {kind} (in pumice.toml)")
            );
        }
    }

    let printed = pumice().arg("config").env("PUMICE_DATABASE__URL", url).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("url = \"postgres://pumice:***@127.0.0.1/pumice\""), "{printed}");
}

#[test]
fn what_is_printed_can_be_read_back() {
    let printed = pumice().arg("config").output().unwrap();
    assert!(printed.status.success());
    let config = load(&String::from_utf8(printed.stdout).unwrap(), &[]).unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn the_reference_in_docs_is_what_the_binary_prints() {
    let printed = pumice().args(["config", "--reference"]).output().unwrap();
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(printed, reference());
    let committed = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    assert!(committed == printed, "docs/configuration.md is out of date: make docs");
    let printed = pumice::identity::policy::Api::ALL.map(|api| api.sample()).join("\n");
    let committed = std::fs::read_to_string(root().join("docs/policies.yaml")).unwrap();
    assert!(committed == printed, "docs/policies.yaml is out of date: make docs");
}

#[test]
fn the_reference_knows_every_option_and_says_something_about_each() {
    // What is unset by default does not show in the values, so it is taken from a refusal.
    for section in Config::sections() {
        let refusal = refused(&format!("[{}]\nno_such_option = 1\n", section.name), &[]);
        let known = refusal.split("there are ").nth(1).unwrap().trim_end_matches(" (in pumice.toml)");
        let known: BTreeSet<_> = known.split(", ").collect();
        let described: BTreeSet<_> = section.options.iter().map(|option| option.name).collect();
        assert_eq!(known, described, "[{}]", section.name);
        for option in &section.options {
            assert!(option.meaning.ends_with('.'), "{}.{}", section.name, option.name);
        }
    }
    let refusal = refused("no_such_section = 1\n", &[]);
    let known = refusal.split("there are ").nth(1).unwrap().trim_end_matches(" (in pumice.toml)");
    let described: Vec<_> =
        Config::sections().iter().filter_map(|section| section.name.split('.').next()).collect();
    assert_eq!(known, described.join(", "));
}

#[test]
fn the_names_and_defaults_of_the_field_are_kept() {
    let default = |section: &str, option: &str| {
        let sections = Config::sections();
        let options = &sections.iter().find(|s| s.name == section).unwrap().options;
        let option = options.iter().find(|o| o.name == option).unwrap_or_else(|| panic!("{option}"));
        option.default.clone().unwrap_or_else(|| "unset".to_owned())
    };
    for (section, option, expected) in [
        ("images", "rbd_store_pool", "\"images\""),
        ("images", "rbd_store_user", "unset"),
        ("images", "rbd_store_ceph_conf", "unset"),
        ("images", "rbd_store_chunk_size", "8"),
        ("images", "rados_connect_timeout", "-1"),
        // The one that differs: Glance says false.
        ("images", "rbd_thin_provisioning", "true"),
        ("images", "hashing_algorithm", "\"sha512\""),
        ("images", "image_size_cap", "1099511627776"),
        ("images", "limit_param_default", "25"),
        ("images", "api_limit_max", "1000"),
        ("images", "image_property_quota", "128"),
        ("images", "image_tag_quota", "128"),
        ("images", "image_member_quota", "128"),
        ("images", "show_image_direct_url", "false"),
        ("import_filtering_opts", "allowed_schemes", r#"["http","https"]"#),
        ("import_filtering_opts", "disallowed_schemes", "[]"),
        ("import_filtering_opts", "allowed_hosts", "[]"),
        ("import_filtering_opts", "disallowed_hosts", "[]"),
        ("import_filtering_opts", "allowed_ports", "[80,443]"),
        ("import_filtering_opts", "disallowed_ports", "[]"),
        ("image_import_opts", "image_import_plugins", r#"["no_op"]"#),
        ("inject_metadata_properties", "ignore_user_roles", r#"["admin"]"#),
        ("inject_metadata_properties", "inject", "{}"),
        ("volumes", "rbd_cluster_name", "\"ceph\""),
        ("volumes", "rbd_pool", "\"rbd\""),
        ("volumes", "rbd_user", "unset"),
        ("volumes", "rbd_ceph_conf", "unset"),
        ("volumes", "rbd_flatten_volume_from_snapshot", "false"),
        ("volumes", "rbd_secret_uuid", "unset"),
        ("volumes", "rbd_max_clone_depth", "5"),
        ("volumes", "rbd_store_chunk_size", "4"),
        ("volumes", "rados_connect_timeout", "-1"),
        ("volumes", "rados_connection_retries", "3"),
        ("volumes", "rados_connection_interval", "5"),
        ("volumes", "default_volume_type", "\"__DEFAULT__\""),
        ("volumes", "storage_availability_zone", "\"nova\""),
        ("volumes", "osapi_max_limit", "1000"),
        ("api", "osapi_max_request_body_size", "114688"),
        ("jobs", "concurrent_flatten_operations", "3"),
        ("keystone_authtoken", "token_cache_time", "300"),
        ("keystone_authtoken", "service_token_roles", r#"["service"]"#),
    ] {
        assert_eq!(default(section, option), expected, "{section}.{option}");
    }
}

#[test]
fn every_example_loads() {
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        // The others are programs.
        if path.extension().is_none_or(|end| end != "toml") {
            continue;
        }
        Config::load_with(Some(&path), []).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let checked = pumice().args(["config", "--check"]).arg(&path).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        seen.insert(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    assert_eq!(
        seen,
        ["backends.toml", "ceph.toml", "directory.toml", "image_stores.toml", "postgresql.toml"]
            .map(String::from)
            .into()
    );

    let ceph = Config::load_with(Some(&root().join("examples/ceph.toml")), []).unwrap();
    assert_eq!((ceph.images.store, ceph.volumes.store), (StoreKind::Rbd, StoreKind::Rbd));
    let stores = Config::load_with(Some(&root().join("examples/image_stores.toml")), []).unwrap();
    assert_eq!(stores.store_weights()[&Some("archive".to_owned())], -1);
    let postgresql = Config::load_with(Some(&root().join("examples/postgresql.toml")), []).unwrap();
    assert_eq!(postgresql.database.url.kind(), DatabaseKind::Postgres);
}

#[test]
fn a_check_fails_with_the_fault() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.toml");
    std::fs::write(&path, "[jobs]\nworkers = 0\n").unwrap();
    let path = path.to_str().unwrap();
    let ways = [
        pumice().args(["config", "--check", path]).output().unwrap(),
        pumice().args(["--config", path, "config"]).output().unwrap(),
        pumice().arg("config").env("PUMICE_CONFIG", path).output().unwrap(),
    ];
    for checked in ways {
        assert_eq!(checked.status.code(), Some(1));
        let said = String::from_utf8(checked.stderr).unwrap();
        assert_eq!(said, "pumice: jobs.workers: must be from 1 to 1024, not 0\n");
    }
}

#[test]
fn the_container_files_name_options_that_exist() {
    let known: BTreeSet<String> = Config::sections()
        .iter()
        .flat_map(|s| s.options.iter().map(|o| format!("PUMICE_{}__{}", s.name, o.name).to_uppercase()))
        .collect();
    for file in ["Dockerfile", "docker-compose.yml"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        let named: Vec<_> = words.filter(|w| w.starts_with("PUMICE_") && w.contains("__")).collect();
        assert!(!named.is_empty(), "{file}");
        for variable in named {
            assert!(known.contains(variable), "{file}: {variable}");
        }
    }
}
