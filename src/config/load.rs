//! From a file and the environment to a [`Config`].

use std::fs;
use std::path::Path;

use figment::error::{Actual, Kind};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::{Config, ConfigError, Faults};

const PREFIX: &str = "PUMICE_";
/// Sections of which there may be several, each with a name of its own.
const NAMED: [&str; 2] = ["backends", "image_stores"];

impl Config {
    /// Reads the file, if there is one, and the environment of this process.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::load_with(file, variables)
    }

    /// Reads the file, if there is one, and these variables.
    ///
    /// An option's variable is `PUMICE_<SECTION>__<OPTION>`; one that is empty counts as not set, and one
    /// without the double underscore is not ours to judge.
    pub fn load_with(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut faults = Faults::default();
        let mut figment = Figment::new();
        if let Some(path) = file {
            let place = path.display().to_string();
            figment =
                figment.merge(Layer { sections: current_names(read(path)?, &place, &mut faults), place });
        }
        let place = "environment".to_owned();
        let sections = current_names(from_variables(variables, &mut faults), &place, &mut faults);
        figment = figment.merge(Layer { place, sections });
        let config = figment.extract::<Self>();
        if !faults.is_empty() {
            return Err(ConfigError::Refused(faults));
        }
        match config {
            Ok(config) => config.checked(),
            Err(errors) => {
                errors.into_iter().for_each(|error| faults.add(described(&error)));
                Err(ConfigError::Refused(faults))
            }
        }
    }

    /// Itself, if nothing is wrong with it.
    pub fn checked(self) -> Result<Self, ConfigError> {
        let faults = self.check();
        if faults.is_empty() { Ok(self) } else { Err(ConfigError::Refused(faults)) }
    }
}

/// What one place says, section by section.
struct Layer {
    place: String,
    sections: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.sections.clone()))
    }
}

fn read(path: &Path) -> Result<Dict, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    // The parser's own text shows the line, which may hold a password: only its number is passed on.
    let refused = |at: usize, message: &str| {
        let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        ConfigError::Syntax { path: path.to_owned(), line, message: message.to_owned() }
    };
    let table = toml::from_str::<toml::Table>(&text)
        .map_err(|error| refused(error.span().map_or(0, |span| span.start), error.message()))?;
    Value::serialize(table)
        .ok()
        .and_then(Value::into_dict)
        .ok_or_else(|| refused(0, "is not a table of sections"))
}

fn from_variables(variables: impl IntoIterator<Item = (String, String)>, faults: &mut Faults) -> Dict {
    let mut sections = Dict::new();
    for (variable, text) in variables {
        let Some((section, option)) = variable.strip_prefix(PREFIX).and_then(|name| name.split_once("__"))
        else {
            continue;
        };
        if text.is_empty() {
            continue;
        }
        let (section, option) = (section.to_ascii_lowercase(), option.to_ascii_lowercase());
        // Such a section's own name stands in between.
        let (name, option) = match option.split_once("__") {
            Some((name, option)) if NAMED.contains(&section.as_str()) => {
                (Some(name.to_owned()), option.to_owned())
            }
            _ => (None, option),
        };
        let value = if is_text(&section, &option) {
            Value::from(text)
        } else if let Ok(number) = text.parse::<i64>() {
            Value::from(number)
        } else if let Ok(number) = text.parse::<f64>() {
            Value::from(number)
        } else if let Ok(truth) = text.parse::<bool>() {
            Value::from(truth)
        } else if let Some(several) = several(&text) {
            several
        } else {
            faults.add(format!("{section}.{option}: {variable} must be a number, or true or false"));
            continue;
        };
        let path: Vec<String> = [Some(section), name, Some(option)].into_iter().flatten().collect();
        insert(&mut sections, &path, value);
    }
    sections
}

/// A list or a table, written as in a file: `["a", "b"]`, `{a = "b"}`.
fn several(text: &str) -> Option<Value> {
    let line = text.trim_start().starts_with(['[', '{']).then(|| format!("value = {text}"))?;
    let mut table: toml::Table = toml::from_str(&line).ok()?;
    Value::serialize(table.remove("value")?).ok()
}

/// What is no section where one should be is refused later.
fn insert(place: &mut Dict, path: &[String], value: Value) {
    match path {
        [] => {}
        [option] => drop(place.insert(option.clone(), value)),
        [section, rest @ ..] => {
            let inner = place.entry(section.clone()).or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// A variable is only text: the option's default says what to take it for. An option that is unset by default
/// is a text, and so is one that does not exist and will be refused.
fn is_text(section: &str, option: &str) -> bool {
    let known = Config::sections()
        .into_iter()
        .find(|s| s.name.split('.').next() == Some(section))
        .and_then(|s| s.options.into_iter().find(|o| o.name == option || o.former_name == Some(option)));
    known.and_then(|o| o.default).is_none_or(|default| default.starts_with('"'))
}

/// Old names become the new ones place by place, so that the environment still wins over the file.
fn current_names(mut sections: Dict, place: &str, faults: &mut Faults) -> Dict {
    for section in Config::sections() {
        let Some(Value::Dict(_, given)) = sections.get_mut(section.name) else { continue };
        for option in section.options {
            let Some((former, value)) = option.former_name.and_then(|f| Some((f, given.remove(f)?))) else {
                continue;
            };
            if given.insert(option.name.to_owned(), value).is_some() {
                let (section, name) = (section.name, option.name);
                faults.add(format!("{section}.{name}: given twice, also as {former} (in {place})"));
            }
        }
    }
    sections
}

/// One fault as a line: the option, what is wrong, where it was said.
fn described(error: &figment::Error) -> String {
    let mut path = error.path.join(".");
    let wrong = match &error.kind {
        Kind::UnknownField(name, known) => {
            if error.path.last().is_none_or(|last| last != name) {
                path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            }
            format!("there is no such option; there are {}", known.join(", "))
        }
        Kind::UnknownVariant(value, known) => format!("must be one of {}, not {value:?}", known.join(", ")),
        Kind::InvalidValue(Actual::Unsigned(_) | Actual::Signed(0..), expected)
            if expected_kind(expected).starts_with(WHOLE) =>
        {
            "must be a smaller number".to_owned()
        }
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            format!("must be {}, not {}", expected_kind(expected), kind_of(actual))
        }
        other => other.to_string(),
    };
    let place = error.metadata.as_ref().map(|m| format!(" (in {})", m.name)).unwrap_or_default();
    format!("{path}: {wrong}{place}")
}

const WHOLE: &str = "a whole number";

/// What a value should be, for people who do not write Rust.
fn expected_kind(expected: &str) -> &str {
    match expected {
        "u16" | "u32" | "u64" => "a whole number, 0 or more",
        "i64" => WHOLE,
        _ if expected.starts_with("struct ") => "a section with options",
        _ => expected,
    }
}

/// What a value is, without the value: it may be a secret, of digits too.
fn kind_of(actual: &Actual) -> String {
    match actual {
        Actual::Char(_) | Actual::Str(_) => "a text".to_owned(),
        Actual::Bytes(_) => "bytes".to_owned(),
        Actual::Signed(..0) => "a negative number".to_owned(),
        Actual::Unsigned(_) | Actual::Signed(_) => "a number".to_owned(),
        Actual::Float(_) => "a fraction".to_owned(),
        Actual::Bool(_) => "a boolean".to_owned(),
        other => format!("a {other}"),
    }
}
