//! Who may do what with the custom properties of images: the file that Glance calls `property_protection_file`.
//!
//! Sections are tried in their order; the first whose regular expression is found in a property's name decides. What no
//! section is about nobody may touch.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regex::{Regex, RegexBuilder};

use super::FileFault;
use crate::config::PropertyRules;

/// Longer than any that anybody keeps.
const LARGEST: u64 = 1 << 20;
/// Memory for one compiled expression, in bytes.
const LARGEST_EXPRESSION: usize = 1 << 20;

/// What is done with a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Create,
    Read,
    Update,
    Delete,
}

impl Access {
    const ALL: [Self; 4] = [Self::Create, Self::Read, Self::Update, Self::Delete];

    fn name(self) -> &'static str {
        match self {
            Access::Create => "create",
            Access::Read => "read",
            Access::Update => "update",
            Access::Delete => "delete",
        }
    }
}

/// To whom something is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// `@`
    Everybody,
    /// `!`, or nothing at all.
    Nobody,
    /// Whoever has one of them; in lower case.
    Roles(Vec<String>),
    /// Whom this rule of the policy allows it.
    Rule(String),
}

/// A whole file.
#[derive(Debug)]
pub(super) struct Protections(Vec<Section>);

#[derive(Debug)]
struct Section {
    names: Regex,
    /// In the order of [`Access::ALL`].
    allowed: [Allowed; 4],
}

impl Protections {
    pub(super) fn read(path: &Path, form: PropertyRules) -> Result<Self, FileFault> {
        let wrong = |(line, reason)| FileFault::Wrong { path: path.to_owned(), line, reason };
        let unreadable = |source| FileFault::Unreadable { path: path.to_owned(), source };
        if fs::metadata(path).map_err(unreadable)?.len() > LARGEST {
            return Err(wrong((1, format!("the file is larger than {LARGEST} bytes"))));
        }
        Self::parse(&fs::read_to_string(path).map_err(unreadable)?, form).map_err(wrong)
    }

    fn parse(text: &str, form: PropertyRules) -> Result<Self, Wrong> {
        let sections = sections(text)?;
        let sections = sections.into_iter().filter(|section| !section.name.starts_with(OWN));
        Ok(Self(sections.map(|section| section.read(form)).collect::<Result<_, _>>()?))
    }

    pub(super) fn allowed(&self, access: Access, property: &str) -> &Allowed {
        // What the service itself says of an image is not for the file to hide.
        if property.starts_with(OWN) {
            return &Allowed::Everybody;
        }
        let section = self.0.iter().find(|section| section.names.is_match(property));
        let place = Access::ALL.iter().position(|one| *one == access).unwrap_or_default();
        section.and_then(|section| section.allowed.get(place)).unwrap_or(&Allowed::Nobody)
    }

    /// The rules of the policy that it refers to.
    pub(super) fn rules(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|section| &section.allowed).filter_map(|allowed| match allowed {
            Allowed::Rule(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

/// Properties of ours begin with it.
const OWN: &str = "os_glance";

type Wrong = (usize, String);

/// As it stands in the file.
struct Given {
    name: String,
    line: usize,
    options: BTreeMap<String, (usize, String)>,
}

/// What Python's `configparser` reads, as far as such files go: `[names]`, `option = value` or `option: value`, lines
/// that go on with a blank at their beginning, and lines of comment.
fn sections(text: &str) -> Result<Vec<Given>, Wrong> {
    let mut sections: Vec<Given> = Vec::new();
    let mut last: Option<String> = None;
    for (number, line) in text.lines().enumerate().map(|(number, line)| (number + 1, line)) {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if let (true, Some(option), Some(section)) =
            (line.starts_with([' ', '\t']), &last, sections.last_mut())
        {
            if let Some((_, value)) = section.options.get_mut(option) {
                value.push(' ');
                value.push_str(content);
            }
            continue;
        }
        if let Some(rest) = content.strip_prefix('[') {
            let name = rest.rfind(']').map(|end| &rest[..end]).filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| (number, "a section's name is not closed".to_owned()))?;
            if sections.iter().any(|section| section.name == name) {
                return Err((number, format!("[{name}] is there twice")));
            }
            sections.push(Given { name: name.to_owned(), line: number, options: BTreeMap::new() });
            last = None;
            continue;
        }
        let parts = content.split_once(['=', ':']).ok_or_else(|| {
            (number, "a line must be a section's name in brackets, or option = value".to_owned())
        })?;
        let (option, value) = (parts.0.trim().to_lowercase(), parts.1.trim().to_owned());
        let section =
            sections.last_mut().ok_or_else(|| (number, "an option stands before all sections".to_owned()))?;
        if section.options.insert(option.clone(), (number, value)).is_some() {
            return Err((number, format!("{option} is there twice")));
        }
        last = Some(option);
    }
    Ok(sections)
}

impl Given {
    fn read(self, form: PropertyRules) -> Result<Section, Wrong> {
        let names = RegexBuilder::new(&self.name).size_limit(LARGEST_EXPRESSION).build();
        let names = names.map_err(|error| {
            let error = error.to_string().replace('\n', " ");
            (self.line, format!("{:?} is no regular expression that is known here: {error}", self.name))
        })?;
        let read = |access: Access| match self.options.get(access.name()) {
            Some((line, value)) => allowed(value, form).map_err(|reason| (*line, reason)),
            None => Err((self.line, format!("[{}] does not say who may {}", self.name, access.name()))),
        };
        let [create, read_, update, delete] = Access::ALL.map(read);
        Ok(Section { names, allowed: [create?, read_?, update?, delete?] })
    }
}

fn allowed(value: &str, form: PropertyRules) -> Result<Allowed, String> {
    let parts: Vec<String> = value.split(',').map(|part| part.trim().to_lowercase()).collect();
    let has = |sign: &str| parts.iter().any(|part| part == sign);
    match form {
        _ if value.is_empty() => Ok(Allowed::Nobody),
        PropertyRules::Policies if parts.len() > 1 => {
            Err("there may be one policy; several are put together in the policy file".to_owned())
        }
        _ if has("@") && has("!") => Err("@ and ! exclude each other".to_owned()),
        _ if has("!") => Ok(Allowed::Nobody),
        _ if has("@") => Ok(Allowed::Everybody),
        PropertyRules::Policies => Ok(Allowed::Rule(value.to_owned())),
        PropertyRules::Roles => Ok(Allowed::Roles(parts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# who may do what\n[^x_owner_.*]\ncreate = admin, Member\nread: admin,\n  member\nUPDATE = @\n\
        delete = !\n\n[[a-c]+_z]\ncreate =\nread = @\nupdate = !, admin\ndelete = janitor\n; the rest\n[.*]\n\
        create=@\nread=@\nupdate=@\ndelete=@\n[os_glance_.*]\ncreate=!\nread=!\nupdate=!\ndelete=!\n";

    fn asked(file: &Protections, property: &str) -> Vec<Allowed> {
        Access::ALL.iter().map(|access| file.allowed(*access, property).clone()).collect()
    }

    #[test]
    fn the_first_section_decides() {
        use Allowed::{Everybody, Nobody};
        let roles = |roles: &[&str]| Allowed::Roles(roles.iter().map(|role| (*role).to_owned()).collect());
        let file = Protections::parse(FILE, PropertyRules::Roles).unwrap();
        let owner = [roles(&["admin", "member"]), roles(&["admin", "member"]), Everybody, Nobody];
        assert_eq!(asked(&file, "x_owner_a"), owner);
        // An expression may be found anywhere in the name.
        assert_eq!(asked(&file, "my_abc_z_1"), [Nobody, Everybody, Nobody, roles(&["janitor"])]);
        assert_eq!(asked(&file, "my_x_owner_a"), vec![Everybody; 4]);
        assert_eq!(asked(&file, "os_glance_failed_import"), vec![Everybody; 4]);

        let file = Protections::parse("[a]\ncreate=b\nread=@\nupdate=!\ndelete=b", PropertyRules::Policies);
        let file = file.unwrap();
        assert_eq!(asked(&file, "a")[0], Allowed::Rule("b".to_owned()));
        assert_eq!(file.rules().collect::<Vec<_>>(), ["b", "b"]);
        assert_eq!(asked(&file, "other"), vec![Nobody; 4]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let rest = "read=@\nupdate=@\ndelete=@\n";
        for (text, form, line, reason) in [
            ("[a]\nread=@\n", PropertyRules::Roles, 1, "[a] does not say who may create"),
            ("create=@\n", PropertyRules::Roles, 1, "an option stands before all sections"),
            (
                "[a]\nhello\n",
                PropertyRules::Roles,
                2,
                "a line must be a section's name in brackets, or option = value",
            ),
            ("[a]\n[b]\n[a]\n", PropertyRules::Roles, 3, "[a] is there twice"),
            ("[a]\ncreate=@\ncreate=!\n", PropertyRules::Roles, 3, "create is there twice"),
            ("[a\n", PropertyRules::Roles, 1, "a section's name is not closed"),
            (&format!("[a]\ncreate=@,!\n{rest}"), PropertyRules::Roles, 2, "@ and ! exclude each other"),
            (
                &format!("[a]\ncreate=b,c\n{rest}"),
                PropertyRules::Policies,
                2,
                "there may be one policy; several are put together in the policy file",
            ),
        ] {
            assert_eq!(Protections::parse(text, form).unwrap_err(), (line, reason.to_owned()), "{text}");
        }
        // In the words of the one who reads expressions.
        let error = Protections::parse(&format!("[a(]\ncreate=@\n{rest}"), PropertyRules::Roles).unwrap_err();
        assert!(error.1.starts_with("\"a(\" is no regular expression that is known here: "), "{error:?}");
        let huge = format!("[(a{{1000}}){{1000}}]\ncreate=@\n{rest}");
        assert!(Protections::parse(&huge, PropertyRules::Roles).is_err());
    }
}
