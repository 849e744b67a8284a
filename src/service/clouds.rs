//! `clouds.yaml`: what the OpenStack clients need to log in as the administrator of a first start.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::config::Config;
use crate::identity::standalone::FirstAdmin;

use super::reachable::reachable;

/// By this line we know a file of ours: another one is not written over.
const FIRST_LINE: &str = "# Made by the first start of Pumice.";

/// Makes the file for its owner's eyes alone, whole or not at all.
pub(super) fn write(config: &Config, admin: &FirstAdmin) -> anyhow::Result<()> {
    let path = &config.identity.clouds_file;
    let text = text(config, admin);
    replace(path, &text).with_context(|| format!("{} cannot be written", path.display()))
}

fn text(config: &Config, admin: &FirstAdmin) -> String {
    let address = match &config.api.identity_public_endpoint {
        Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
        None => format!("{}://{}/identity", config.scheme(), reachable(config.api.listen)),
    };
    let FirstAdmin { user_name, project_name, password } = admin;
    // JSON's texts are YAML's.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    format!(
        "{FIRST_LINE} OS_CLIENT_CONFIG_FILE=<this file> openstack --os-cloud pumice volume list\n\
         clouds:\n  \
           pumice:\n    \
             auth:\n      \
               auth_url: {auth_url}\n      \
               username: {username}\n      \
               password: {password}\n      \
               project_name: {project}\n      \
               user_domain_name: Default\n      \
               project_domain_name: Default\n    \
             region_name: {region}\n    \
             identity_api_version: 3\n    \
             volume_api_version: 3\n",
        auth_url = quoted(&format!("{address}/v3")),
        username = quoted(user_name),
        password = quoted(password),
        project = quoted(project_name),
        region = quoted(&config.identity.region),
    )
}

fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    match fs::read_to_string(path) {
        Ok(there) => ensure!(
            there.starts_with(FIRST_LINE),
            "a file is there that Pumice did not make; move it away, or set identity.clouds_file"
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    // What a process left that was killed here. A new file, because an old one keeps its mode, and may be a link.
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(beside, path)?;
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_its_owner_reads_it_and_nobody_elses_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.identity.clouds_file = folder.path().join("new/clouds.yaml");
        let admin =
            |password: &str| FirstAdmin { user_name: "a", project_name: "p", password: password.to_owned() };
        let path = config.identity.clouds_file.clone();

        write(&config, &admin("one")).unwrap();
        // A database that was thrown away is started anew.
        write(&config, &admin("two \" # :")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("password: \"two \\\" # :\"\n"), "{text}");
        assert!(text.contains("auth_url: \"http://127.0.0.1:8080/identity/v3\"\n"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "temporary files stay");

        fs::write(&path, "clouds: {}\n").unwrap();
        let error = format!("{:#}", write(&config, &admin("three")).unwrap_err());
        assert!(error.contains("clouds.yaml cannot be written: a file is there"), "{error}");
        assert!(!error.contains("three"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "clouds: {}\n");
    }
}
