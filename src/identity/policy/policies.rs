//! The rules in force.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::file::{self, FileFault, Given};
use super::protections::{Access, Allowed, Protections};
use super::{Check, Rule, Rules, Subject, Target, image, own, volume};
use crate::config::{self, PropertyRules};

/// Whose rules: each API has names, and a policy file, of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Image,
    Volume,
    Own,
}

impl Api {
    pub const ALL: [Api; 3] = [Api::Image, Api::Volume, Api::Own];

    fn defaults(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Api::Image => image::DEFAULTS,
            Api::Volume => volume::DEFAULTS,
            Api::Own => own::DEFAULTS,
        }
    }

    /// The option that names its policy file.
    fn option(self) -> &'static str {
        match self {
            Api::Image => "policy.image_policy_file",
            Api::Volume => "policy.volume_policy_file",
            Api::Own => "policy.pumice_policy_file",
        }
    }

    /// A policy file that says nothing: every rule with its default, commented out.
    pub fn sample(self) -> String {
        let head = format!("# For {}: the rules that there are, as they are without it.\n\n", self.option());
        let rules = self.defaults().iter().map(|(name, text)| format!("#\"{name}\": \"{text}\"\n"));
        std::iter::once(head).chain(rules).collect()
    }

    /// All rules that the code asks, and those their defaults refer to.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.defaults().iter().map(|(name, _)| *name)
    }

    /// The rule that makes a caller an administrator.
    pub(super) fn context_is_admin(self) -> Rule {
        match self {
            Api::Image => image::CONTEXT_IS_ADMIN,
            Api::Volume => volume::CONTEXT_IS_ADMIN,
            Api::Own => own::CONTEXT_IS_ADMIN,
        }
    }
}

/// The rules of one API, as one request sees them from its beginning to its end.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) api: Api,
    rules: Rules,
    /// Of images' custom properties, where they are protected.
    protections: Option<Protections>,
}

impl Policy {
    pub(super) fn allows(&self, rule: Rule, subject: &Subject<'_>, target: &Target) -> bool {
        let caller = subject.caller;
        let out_of_scope = self.api == Api::Image
            && (caller.system_scope.is_some() || caller.domain_id.is_some())
            && image::is_in_project(rule.name());
        !out_of_scope && self.rules.allow(rule.name(), subject, target)
    }

    pub(super) fn allows_property(&self, access: Access, property: &str, subject: &Subject<'_>) -> bool {
        let Some(protections) = &self.protections else { return true };
        let caller = subject.caller;
        match protections.allowed(access, property) {
            Allowed::Everybody => true,
            Allowed::Nobody => false,
            Allowed::Roles(roles) => {
                caller.roles.iter().chain(&caller.service_roles).any(|role| roles.contains(role))
            }
            Allowed::Rule(rule) => self.rules.allow(rule, subject, &Target::new()),
        }
    }
}

/// The rules of all APIs, and where they were read.
pub struct Policies {
    image: Slot,
    volume: Slot,
    own: Slot,
}

struct Slot {
    files: Files,
    policy: RwLock<Arc<Policy>>,
}

/// Where the rules of one API are read.
#[derive(Clone, Default)]
struct Files {
    policy: Option<PathBuf>,
    protections: Option<(PathBuf, PropertyRules)>,
}

impl Policies {
    /// Reads the policy files, where there are any.
    pub fn load(files: &config::Policy) -> Result<Self, FileFault> {
        let slot = |api, file: &Option<PathBuf>, protections| {
            let files = Files { policy: file.clone(), protections };
            Ok(Slot { policy: RwLock::new(Arc::new(read(api, &files)?)), files })
        };
        let form = files.property_protection_rule_format;
        let protections = files.property_protection_file.clone().map(|file| (file, form));
        Ok(Self {
            image: slot(Api::Image, &files.image_policy_file, protections)?,
            volume: slot(Api::Volume, &files.volume_policy_file, None)?,
            own: slot(Api::Own, &files.pumice_policy_file, None)?,
        })
    }

    /// Reads the files again. Rules of a file that is wrong stay as they were.
    pub fn reload(&self) {
        for api in Api::ALL {
            let slot = self.slot(api);
            let Files { policy, protections } = &slot.files;
            let files = policy.iter().chain(protections.iter().map(|(file, _)| file));
            let files = files.map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
            if files.is_empty() {
                continue;
            }
            match read(api, &slot.files) {
                Ok(policy) => {
                    *slot.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
                    tracing::info!(policy.file = %files, "the policy file was read again");
                }
                Err(error) => {
                    tracing::error!(%error, "the policy file is wrong: its former rules stay in force")
                }
            }
        }
    }

    pub(super) fn of(&self, api: Api) -> Arc<Policy> {
        self.slot(api).policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn slot(&self, api: Api) -> &Slot {
        match api {
            Api::Image => &self.image,
            Api::Volume => &self.volume,
            Api::Own => &self.own,
        }
    }
}

/// The defaults, with what the file says instead or besides.
fn read(api: Api, files: &Files) -> Result<Policy, FileFault> {
    let protections = files.protections.as_ref();
    let protections = protections.map(|(file, form)| Protections::read(file, *form)).transpose()?;
    let file = files.policy.as_deref();
    let given = file.map(file::read).transpose()?.unwrap_or_default();
    let path = file.unwrap_or(Path::new("(defaults)"));
    let wrong = |line, reason| FileFault::Wrong { path: path.to_owned(), line, reason };
    let mut all = BTreeMap::new();
    for (name, text) in api.defaults() {
        let check = super::check(text).map_err(|fault| wrong(0, format!("{name:?}: {fault}")))?;
        all.insert((*name).to_owned(), check);
    }
    let asked = protections.iter().flat_map(Protections::rules).collect();
    warn_of_strangers(path, &given, &all, asked);
    let lines: BTreeMap<String, usize> = given.iter().map(|(name, rule)| (name.clone(), rule.line)).collect();
    all.extend(given.into_iter().map(|(name, rule)| (name, rule.check)));
    let rules = Rules::new(all).map_err(|fault| {
        // A default may come to stand in a circle by way of the file.
        let line = fault.rules().iter().find_map(|rule| lines.get(rule)).copied().unwrap_or(1);
        wrong(line, fault.to_string())
    })?;
    Ok(Policy { api, rules, protections })
}

/// A rule that nobody asks, and no other rule refers to, may be misspelt.
fn warn_of_strangers<'a>(
    path: &Path,
    given: &'a BTreeMap<String, Given>,
    known: &BTreeMap<String, Check>,
    mut used: BTreeSet<&'a str>,
) {
    for rule in given.values() {
        rule.check.walk(&mut |check| {
            if let Check::Rule(name) = check {
                used.insert(name.as_str());
            }
        });
    }
    for (name, rule) in given {
        if !known.contains_key(name) && !used.contains(name.as_str()) {
            tracing::warn!(policy.file = %path.display(), policy.line = rule.line, policy.rule = %name,
                "the policy file has a rule that this service does not know");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Guard;
    use super::*;
    use crate::identity::Caller;
    use crate::model::{ProjectId, UserId};

    fn guard(policies: &Policies, api: Api, roles: &[&str], system: bool) -> Guard {
        let mut caller = Caller::everybody(UserId("u".into()), ProjectId("p".into()));
        caller.roles = roles.iter().map(|role| (*role).to_owned()).collect();
        caller.system_scope = system.then(|| "all".to_owned());
        Guard::new(policies, api, Arc::new(caller))
    }

    #[test]
    fn a_sample_says_what_is_so_anyway() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.yaml");
        for api in Api::ALL {
            std::fs::write(&file, api.sample()).unwrap();
            assert!(file::read(&file).unwrap().is_empty());
            std::fs::write(&file, api.sample().replace("\n#\"", "\n\"")).unwrap();
            assert_eq!(file::read(&file).unwrap().len(), api.names().count());
            let files = Files { policy: Some(file.clone()), ..Files::default() };
            assert_eq!(read(api, &files).unwrap().rules, read(api, &Files::default()).unwrap().rules);
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_real_services() {
        let policies = Policies::load(&config::Policy::default()).unwrap();
        let (ours, others) = (Target::new().with("project_id", "p"), Target::new().with("project_id", "q"));
        let asks = |roles: &[&str], rule, target: &Target| {
            guard(&policies, Api::Volume, roles, false).allows(rule, target)
        };
        for (roles, rule, in_ours, in_others) in [
            (&[][..], volume::GET, false, false),
            (&["reader"], volume::GET, true, false),
            (&["reader"], volume::DELETE, false, false),
            (&["member"], volume::DELETE, true, false),
            (&["member"], volume::FORCE_DELETE, false, false),
            (&["admin"], volume::FORCE_DELETE, true, true),
        ] {
            let verdicts = (asks(roles, rule, &ours), asks(roles, rule, &others));
            assert_eq!(verdicts, (in_ours, in_others), "{roles:?} {rule:?}");
        }
        // Glance's rules are for tokens of a project; Cinder does not ask.
        assert!(guard(&policies, Api::Volume, &["admin"], true).allows(volume::FORCE_DELETE, &ours));
        let system = guard(&policies, Api::Image, &["admin"], true);
        assert!(system.is_admin() && !system.allows(image::PUBLICIZE_IMAGE, &ours));
        let of_domain =
            Caller { domain_id: Some("d".into()), roles: vec!["admin".into()], ..Caller::default() };
        let of_domain = Guard::new(&policies, Api::Image, Arc::new(of_domain));
        assert!(!of_domain.allows(image::GET_IMAGES, &ours));
        assert!(guard(&policies, Api::Image, &["admin"], false).allows(image::PUBLICIZE_IMAGE, &ours));
    }

    #[test]
    fn what_old_files_refer_to_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            Some(file)
        };
        let image = "'get_metadef_objects': 'rule:metadef_default'\n'get_task': 'rule:default'\n\
            'cache_list': 'rule:manage_image_cache'\n";
        let volume = "'volume_extension:volume_type_encryption:get': 'rule:volume_extension:volume_type_encryption'\n\
            'volume:get': 'rule:admin_or_owner'\n";
        let files = config::Policy {
            image_policy_file: file("image.yaml", image),
            volume_policy_file: file("volume.yaml", volume),
            ..config::Policy::default()
        };
        let policies = Policies::load(&files).unwrap();
        let nobody = guard(&policies, Api::Image, &[], false);
        assert!(nobody.allows(image::GET_METADEF_OBJECTS, &Target::new()));
        let may = |role: &str| {
            let guard = guard(&policies, Api::Volume, &[role], false);
            guard.allows(volume::ENCRYPTION_GET, &Target::new())
        };
        assert_eq!((may("member"), may("admin")), (false, true));
    }

    #[test]
    fn a_file_that_turns_bad_leaves_the_rules_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.yaml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        let files = config::Policy { volume_policy_file: Some(file.clone()), ..config::Policy::default() };
        write("'volume:force_delete': 'rule:janitors'\njanitors: role:janitor\n");
        let policies = Policies::load(&files).unwrap();
        let may = |role: &str| {
            let guard = guard(&policies, Api::Volume, &[role], false);
            guard.allows(volume::FORCE_DELETE, &Target::new())
        };
        assert_eq!((may("janitor"), may("admin")), (true, false));
        write("'volume:force_delete': 'role:janitor and'\n");
        policies.reload();
        assert_eq!((may("janitor"), may("admin")), (true, false));
        write("'volume:get': '@'\n");
        policies.reload();
        assert_eq!((may("janitor"), may("admin")), (false, true));
    }

    #[test]
    fn a_bad_file_is_refused_with_line_and_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.yaml");
        let files = config::Policy { image_policy_file: Some(file.clone()), ..config::Policy::default() };
        let refusal = |text: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let refusal = Policies::load(&files).err().unwrap().to_string();
            refusal.strip_prefix(file.to_str().unwrap()).unwrap().to_owned()
        };
        assert_eq!(refusal(None), ": cannot be read: No such file or directory (os error 2)");
        for (text, reason) in [
            ("# none\n'get_image': 'role:x or'\n", ", line 2: \"get_image\": a check is missing at the end"),
            (
                "'get_image': 'rule:gone'\n",
                ", line 1: \"get_image\" refers to the rule \"gone\", which does not exist",
            ),
            (
                "'get_images': '@'\n'context_is_admin': 'rule:add_image'\n",
                ", line 2: rules refer to each other in a circle: add_image, context_is_admin",
            ),
        ] {
            assert_eq!(refusal(Some(text)), reason);
        }
    }
}
