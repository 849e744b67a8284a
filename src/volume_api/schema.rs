//! Fields of request bodies, refused in the words of the real service's JSON schemas.
//!
//! A handler reads the fields in the schema's order and asks for strangers last: the first fault is answered.

mod refusals;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use refusals::{
    check_bytes, check_length, not_of_type, refused, refused_by_all, refused_name, refused_text, too_big,
};

pub use refusals::{check_count, check_growth, check_name};

use super::fault::Fault;
use super::python::{repr, repr_text, text};
use crate::config::Limits;
use crate::db::Specs;
use crate::model::Gib;

/// A field that may be left out, and may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given<T> {
    Absent,
    Null,
    Value(T),
}

impl<T> Given<T> {
    /// Null is as good as absent.
    pub fn value(self) -> Option<T> {
        match self {
            Given::Value(value) => Some(value),
            Given::Absent | Given::Null => None,
        }
    }

    /// The other one where this one is absent.
    pub fn or(self, other: Self) -> Self {
        if matches!(self, Given::Absent) { other } else { self }
    }
}

const LONGEST: usize = 255;

/// The texts under keys that a body may hold.
pub struct Texts {
    /// Of the characters in keys, those that are no letters and digits of ASCII.
    punctuation: &'static str,
    pattern: &'static str,
    nullable: bool,
    /// Texts of as many bytes as the real service's columns hold; otherwise they have at most 255 characters.
    long: bool,
}

const METADATA: Texts =
    Texts { punctuation: "-_:. /", pattern: "'^[a-zA-Z0-9-_:. /]{1,255}$'", nullable: false, long: false };
const IMAGE_METADATA: Texts = Texts { long: true, ..METADATA };
/// Specs under keys that hold no space or slash.
pub const SIMPLE_SPECS: Texts =
    Texts { punctuation: "-_:.", pattern: "'^[a-zA-Z0-9-_:.]{1,255}$'", nullable: true, long: false };
pub const SPECS: Texts = Texts { nullable: true, ..METADATA };

impl Texts {
    fn is_key(&self, key: &str) -> bool {
        (1..=LONGEST).contains(&key.len())
            && key.chars().all(|c| c.is_ascii_alphanumeric() || self.punctuation.contains(c))
    }

    fn types(&self) -> &'static [&'static str] {
        if self.nullable { &["string", "null"] } else { &["string"] }
    }
}

/// The one object in the body that the request is about, as `read` reads it.
pub fn only_object<'a, T>(
    body: &'a Value,
    key: &'a str,
    read: impl FnOnce(&Object<'a>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let read = object_of(body, key, read)?;
    Object::body(body)?.only(&[key])?;
    Ok(read)
}

/// Likewise, where the body may hold something else beside it.
pub fn object_of<'a, T>(
    body: &'a Value,
    key: &'a str,
    read: impl FnOnce(&Object<'a>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let body = Object::body(body)?;
    let read = body.object(key)?.map(|object| read(&object)).transpose()?;
    body.require(key)?;
    read.ok_or(Fault::Malformed)
}

/// An object in a body, known by the path the refusals name.
pub struct Object<'a> {
    path: Option<&'a str>,
    value: &'a Value,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// The whole body.
    pub fn body(value: &'a Value) -> Result<Self, Fault> {
        Self::new(None, value)
    }

    fn new(path: Option<&'a str>, value: &'a Value) -> Result<Self, Fault> {
        match value {
            Value::Object(fields) => Ok(Self { path, value, fields }),
            other => Err(refused(path, other, not_of_type(other, &["object"]))),
        }
    }

    /// The one object in the body that the request is about, when it is there.
    pub fn object(&self, key: &'a str) -> Result<Option<Object<'a>>, Fault> {
        self.fields.get(key).map(|value| Object::new(Some(key), value)).transpose()
    }

    pub fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// As Python shows it.
    pub fn repr(&self) -> String {
        repr(self.value)
    }

    pub fn fields(&self) -> &'a Map<String, Value> {
        self.fields
    }

    /// Refuses the object as a whole.
    pub fn refuse(&self, message: String) -> Fault {
        refused(self.path, self.value, message)
    }

    pub fn require(&self, key: &str) -> Result<(), Fault> {
        if self.has(key) {
            Ok(())
        } else {
            Err(self.refuse(format!("{} is a required property", repr_text(key))))
        }
    }

    /// Refuses fields that are not in this list.
    pub fn only(&self, known: &[&str]) -> Result<(), Fault> {
        let mut strangers: Vec<&str> =
            self.fields.keys().map(String::as_str).filter(|key| !known.contains(key)).collect();
        strangers.sort_unstable();
        let verb = match strangers.len() {
            0 => return Ok(()),
            1 => "was",
            _ => "were",
        };
        let shown: Vec<String> = strangers.into_iter().map(repr_text).collect();
        let message =
            format!("Additional properties are not allowed ({} {verb} unexpected)", shown.join(", "));
        Err(self.refuse(message))
    }

    /// An object, if it is one and not of the other types that the field may be of.
    pub fn object_or(&self, key: &str, types: &[&str]) -> Result<Option<&'a Map<String, Value>>, Fault> {
        match self.fields.get(key) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(fields)),
            Some(Value::Null) if types.contains(&"null") => Ok(None),
            Some(Value::String(_)) if types.contains(&"string") => Ok(None),
            Some(other) => Err(refused(Some(key), other, not_of_type(other, types))),
        }
    }

    /// A text of any length, or null.
    pub fn string(&self, key: &str) -> Result<Given<&'a str>, Fault> {
        match self.fields.get(key) {
            None => Ok(Given::Absent),
            Some(Value::Null) => Ok(Given::Null),
            Some(Value::String(text)) => Ok(Given::Value(text)),
            Some(other) => Err(refused(Some(key), other, not_of_type(other, &["string", "null"]))),
        }
    }

    /// A text whose surrounding spaces do not count; refused under `label` when too long.
    pub fn trimmed(&self, key: &str, label: &str) -> Result<Given<String>, Fault> {
        let Given::Value(text) = self.string(key)? else { return self.string(key).map(no_text) };
        let text = text.trim();
        let length = text.chars().count();
        if length > LONGEST {
            return Err(Fault::InvalidInput(format!(
                "{label} has {length} characters, more than {LONGEST}."
            )));
        }
        Ok(Given::Value(text.to_owned()))
    }

    /// A text of at most 255 characters.
    pub fn text(&self, key: &str) -> Result<Given<&'a str>, Fault> {
        let given = self.string(key)?;
        if let Given::Value(text) = given
            && text.chars().count() > LONGEST
        {
            return Err(refused_text(key, text, "is too long"));
        }
        Ok(given)
    }

    /// A text of 1 to 255 characters.
    pub fn nonempty_text(&self, key: &str) -> Result<Given<&'a str>, Fault> {
        let given = self.text(key)?;
        if given == Given::Value("") { Err(refused_text(key, "", "should be non-empty")) } else { Ok(given) }
    }

    /// A text that is not null, of `least` to 255 characters.
    pub fn plain_text(&self, key: &str, least: usize) -> Result<Option<&'a str>, Fault> {
        match self.fields.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => check_length(key, text, least).map(|()| Some(text.as_str())),
            Some(other) => Err(refused(Some(key), other, not_of_type(other, &["string"]))),
        }
    }

    /// Likewise, and not only spaces.
    pub fn name(&self, key: &str) -> Result<Option<&'a str>, Fault> {
        let name = self.plain_text(key, 1)?;
        if name.is_some_and(|name| name.trim().is_empty()) {
            return Err(refused_name("The 'name' can not be empty."));
        }
        Ok(name)
    }

    /// Likewise, and the spaces around it do not count.
    pub fn trimmed_name(&self, key: &str) -> Result<Option<&'a str>, Fault> {
        let name = match self.fields.get(key) {
            None => return Ok(None),
            Some(Value::String(name)) => name,
            Some(other) => return Err(refused(Some(key), other, not_of_type(other, &["string"]))),
        };
        let trimmed = name.trim();
        if name.is_empty() {
            Err(refused_name("The 'name' can not be None."))
        } else if trimmed.is_empty() {
            Err(refused_name("The 'name' can not be empty."))
        } else if trimmed.chars().count() > LONGEST {
            Err(refused_name("The 'name' can not be greater than 255 characters."))
        } else {
            Ok(Some(trimmed))
        }
    }

    /// Likewise, or null.
    pub fn trimmed_name_or_null(&self, key: &str) -> Result<Option<&'a str>, Fault> {
        match self.fields.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(other) => self.trimmed_name(key).map_err(|_| refused_by_all(key, other)),
        }
    }

    /// A text or a whole number, as a text.
    pub fn text_or_integer(&self, key: &str) -> Result<Option<String>, Fault> {
        match self.fields.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
            Some(other) => Err(refused(Some(key), other, not_of_type(other, &["string", "integer"]))),
        }
    }

    /// What hosts are called; `more` are the characters that may be in this one beside the usual ones.
    pub fn host_name(&self, key: &str, more: &str) -> Result<Option<&'a str>, Fault> {
        let Given::Value(text) = self.string(key)? else { return Ok(None) };
        check_length(key, text, 1)?;
        if text.chars().all(|c| c.is_ascii_alphanumeric() || "-._#@:/+".contains(c) || more.contains(c)) {
            return Ok(Some(text));
        }
        let more: String = more.chars().flat_map(|c| ['\\', '\\', c]).collect();
        Err(refused_text(key, text, &format!("does not match '^[a-zA-Z0-9-._#@:/+{more}]*$'")))
    }

    /// One of these texts.
    pub fn one_of(&self, key: &str, choices: &[&str]) -> Result<Option<&'a str>, Fault> {
        match self.fields.get(key) {
            None => Ok(None),
            Some(Value::String(text)) if choices.contains(&text.as_str()) => Ok(Some(text)),
            Some(other) => {
                let choices: Vec<String> = choices.iter().map(|choice| repr_text(choice)).collect();
                let message = format!("{} is not one of [{}]", repr(other), choices.join(", "));
                Err(refused(Some(key), other, message))
            }
        }
    }

    /// Likewise, where the schema names the types beside the choices: another type is refused first.
    pub fn one_text_of(&self, key: &str, types: &[&str], choices: &[&str]) -> Result<Option<&'a str>, Fault> {
        self.text_or(key, types)?;
        self.one_of(key, choices)
    }

    /// Refuses what is of none of the types, which are texts and others.
    fn text_or(&self, key: &str, types: &[&str]) -> Result<(), Fault> {
        match self.fields.get(key) {
            None | Some(Value::String(_)) => Ok(()),
            Some(Value::Null) if types.contains(&"null") => Ok(()),
            Some(Value::Bool(_)) if types.contains(&"boolean") => Ok(()),
            Some(other) => Err(refused(Some(key), other, not_of_type(other, types))),
        }
    }

    /// Whether something is said: true, or a text that is not empty.
    pub fn says(&self, key: &str) -> Result<bool, Fault> {
        self.text_or(key, &["string", "null", "boolean"])?;
        Ok(match self.fields.get(key) {
            Some(Value::Bool(truth)) => *truth,
            Some(Value::String(text)) => !text.is_empty(),
            _ => false,
        })
    }

    /// A list of different texts of 1 to 255 characters.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>, Fault> {
        let list = match self.fields.get(key) {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(refused(Some(key), other, not_of_type(other, &["array"]))),
        };
        let mut texts = Vec::new();
        for (i, item) in list.iter().enumerate() {
            let path = i.to_string();
            match item {
                Value::String(text) => check_length(&path, text, 1)?,
                other => return Err(refused(Some(&path), other, not_of_type(other, &["string"]))),
            }
            texts.extend(item.as_str());
        }
        let mut sorted = texts.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            let list = Value::Array(list.clone());
            return Err(refused(Some(key), &list, format!("{} has non-unique elements", repr(&list))));
        }
        Ok(Some(texts))
    }

    /// Texts and nulls under keys.
    pub fn specs(&self, key: &str, kind: &Texts) -> Result<Option<Specs>, Fault> {
        match self.fields.get(key) {
            None => Ok(None),
            Some(value) => Object::new(Some(key), value)?.all_specs(kind).map(Some),
        }
    }

    /// Likewise, of all fields.
    pub fn all_specs(&self, kind: &Texts) -> Result<Specs, Fault> {
        let mut specs = Specs::new();
        for (name, value) in self.fields.iter().filter(|(name, _)| kind.is_key(name)) {
            let text = match value {
                Value::String(text) if kind.long => check_bytes(name, text).map(|()| Some(text.clone()))?,
                Value::String(text) => check_length(name, text, 0).map(|()| Some(text.clone()))?,
                Value::Null if kind.nullable => None,
                other => return Err(refused(Some(name), other, not_of_type(other, kind.types()))),
            };
            specs.insert(name.clone(), text);
        }
        let mut strangers: Vec<&String> = self.fields.keys().filter(|name| !kind.is_key(name)).collect();
        if strangers.is_empty() {
            return Ok(specs);
        }
        strangers.sort_unstable();
        let verb = if strangers.len() == 1 { "does" } else { "do" };
        let shown: Vec<String> = strangers.into_iter().map(|name| repr_text(name)).collect();
        Err(self.refuse(format!(
            "{} {verb} not match any of the regexes: {}",
            shown.join(", "),
            kind.pattern
        )))
    }

    /// A number from 0 to the largest that a column of the real service holds; it may come as a text.
    pub fn number(&self, key: &str) -> Result<Given<i64>, Fault> {
        let value = match self.fields.get(key) {
            None => return Ok(Given::Absent),
            Some(Value::Null) => return Ok(Given::Null),
            Some(value) => value,
        };
        let digits = match value {
            Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            Value::String(text) => text.clone(),
            other => {
                return Err(refused(Some(key), other, not_of_type(other, &["string", "integer", "null"])));
            }
        };
        let plain = digits.strip_prefix('-').unwrap_or(&digits);
        if plain.is_empty()
            || !plain.bytes().all(|b| b.is_ascii_digit())
            || (plain.starts_with('0') && digits != "0")
        {
            return Err(Fault::InvalidInput(format!("{key} must be an integer.")));
        }
        if digits.starts_with('-') {
            return Err(refused(Some(key), value, format!("{digits} is less than the minimum of 0")));
        }
        match digits.parse::<i32>() {
            Ok(number) => Ok(Given::Value(number.into())),
            Err(_) => {
                let message = format!("{digits} is greater than the maximum of {}", i32::MAX);
                Err(refused(Some(key), value, message))
            }
        }
    }

    /// A text of at most 255 printable characters.
    pub fn printable_text(&self, key: &str) -> Result<Given<&'a str>, Fault> {
        let given = self.text(key)?;
        if let Given::Value(text) = given
            && text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
        {
            // The real service prints its whole table of characters here.
            return Err(refused_text(key, text, "does not match '^[printable characters]*$'"));
        }
        Ok(given)
    }

    /// An object or a text.
    pub fn object_or_text(&self, key: &str) -> Result<Option<&'a Value>, Fault> {
        match self.fields.get(key) {
            Some(other) if !other.is_object() && !other.is_string() => {
                Err(refused(Some(key), other, not_of_type(other, &["object", "string"])))
            }
            given => Ok(given),
        }
    }

    /// A text of any length.
    pub fn any_text(&self, key: &str) -> Result<Option<&'a str>, Fault> {
        match self.fields.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(refused(Some(key), other, not_of_type(other, &["string"]))),
        }
    }

    /// A UUID, or null.
    pub fn uuid(&self, key: &str) -> Result<Given<&'a str>, Fault> {
        match self.fields.get(key) {
            None => Ok(Given::Absent),
            Some(Value::Null) => Ok(Given::Null),
            Some(Value::String(text)) if uuid::Uuid::try_parse(text).is_ok() => Ok(Given::Value(text)),
            Some(other) => Err(refused_by_all(key, other)),
        }
    }

    /// One UUID, or a list of different ones.
    pub fn uuids(&self, key: &str) -> Result<Option<BTreeSet<String>>, Fault> {
        let Some(value) = self.fields.get(key) else { return Ok(None) };
        let all: Option<Vec<&str>> = match value {
            Value::String(text) => Some(vec![text]),
            Value::Array(items) => items.iter().map(Value::as_str).collect(),
            _ => None,
        };
        let refused = || refused_by_all(key, value);
        let all = all.ok_or_else(refused)?;
        let found: BTreeSet<String> = all.iter().map(|text| (*text).to_owned()).collect();
        let good = found.len() == all.len() && all.iter().all(|text| uuid::Uuid::try_parse(text).is_ok());
        if good { Ok(Some(found)) } else { Err(refused()) }
    }

    /// A UUID, and not null.
    pub fn plain_uuid(&self, key: &str) -> Result<Option<&'a str>, Fault> {
        match self.fields.get(key) {
            None => Ok(None),
            Some(Value::String(text)) if uuid::Uuid::try_parse(text).is_ok() => Ok(Some(text)),
            Some(Value::String(text)) => Err(refused_text(key, text, "is not a 'uuid'")),
            Some(other) => Err(refused(Some(key), other, not_of_type(other, &["string"]))),
        }
    }

    /// A truth value in one of the spellings the API takes.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, Fault> {
        const TRUE: [&str; 12] =
            ["True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "y", "t"];
        const FALSE: [&str; 12] =
            ["False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "n", "f"];
        match self.fields.get(key) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(Value::String(text)) if TRUE.contains(&text.as_str()) => Ok(Some(true)),
            Some(Value::String(text)) if FALSE.contains(&text.as_str()) => Ok(Some(false)),
            Some(other @ Value::String(_)) => {
                let spellings =
                    |texts: &[&str]| texts.iter().map(|t| repr_text(t)).collect::<Vec<_>>().join(", ");
                let message = format!(
                    "{} is not one of [True, {}, False, {}]",
                    repr(other),
                    spellings(&TRUE),
                    spellings(&FALSE)
                );
                Err(refused(Some(key), other, message))
            }
            Some(other) => Err(refused(Some(key), other, not_of_type(other, &["boolean", "string"]))),
        }
    }

    /// Likewise, or null.
    pub fn boolean_or_null(&self, key: &str) -> Result<Option<bool>, Fault> {
        match self.fields.get(key) {
            Some(Value::Null) => Ok(None),
            Some(other) => self.boolean(key).map_err(|_| refused_by_all(key, other)),
            None => Ok(None),
        }
    }

    /// A size in GiB: a number, or a text of digits; null where the field may be.
    pub fn size(&self, key: &str, nullable: bool) -> Result<Option<Gib>, Fault> {
        let types: &[&str] = if nullable { &["integer", "string", "null"] } else { &["integer", "string"] };
        let Some(value) = self.fields.get(key) else { return Ok(None) };
        let number = match value {
            Value::Null if nullable => return Ok(None),
            Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            Value::String(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.clone()
            }
            Value::String(text) => {
                let message = format!("{} does not match '^[0-9]+$'", repr_text(text));
                return Err(refused(Some(key), value, message));
            }
            other => return Err(refused(Some(key), other, not_of_type(other, types))),
        };
        let digits = number.trim_start_matches('0');
        let gib = if digits.is_empty() { Ok(0) } else { digits.parse::<i64>() };
        match gib {
            Ok(gib) if gib < 1 => {
                Err(refused(Some(key), value, format!("{gib} is less than the minimum of 1")))
            }
            Ok(gib) => Gib::new(gib).map(Some).ok_or_else(|| too_big(key, value, digits)),
            Err(_) => Err(too_big(key, value, digits)),
        }
    }

    /// A limit: a number from -1 on, or a text of digits.
    pub fn limit(&self, key: &str) -> Result<i64, Fault> {
        const LARGEST: i64 = i32::MAX as i64;
        let value = self.fields.get(key).unwrap_or(&Value::Null);
        let number = match value {
            Value::Number(number) if number.is_i64() || number.is_u64() => number.as_i64(),
            Value::String(digits) if digits.is_empty() => {
                return Err(refused_text(key, digits, "should be non-empty"));
            }
            Value::String(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
            Value::String(text) => return Err(refused_text(key, text, "does not match '^[0-9]*$'")),
            other => return Err(refused(Some(key), other, not_of_type(other, &["integer", "string"]))),
        };
        match number {
            Some(number) if number < -1 => {
                Err(refused(Some(key), value, format!("{number} is less than the minimum of -1")))
            }
            Some(number) if number <= LARGEST => Ok(number),
            _ => {
                let message = format!("{} is greater than the maximum of {LARGEST}", text(value));
                Err(refused(Some(key), value, message))
            }
        }
    }

    /// Metadata of images: longer texts under keys of the same form.
    pub fn image_metadata(&self, key: &str) -> Result<Option<BTreeMap<String, String>>, Fault> {
        let Some(value) = self.fields.get(key) else { return Ok(None) };
        let specs = Object::new(Some(key), value)?.all_specs(&IMAGE_METADATA)?;
        Ok(Some(specs.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()))
    }

    /// Metadata: texts under well-formed keys, as many as the limits allow.
    pub fn metadata(
        &self,
        key: &str,
        nullable: bool,
        limits: &Limits,
    ) -> Result<Given<BTreeMap<String, String>>, Fault> {
        let (value, fields) = match self.fields.get(key) {
            None => return Ok(Given::Absent),
            Some(Value::Null) if nullable => return Ok(Given::Null),
            Some(value @ Value::Object(fields)) => (value, fields),
            Some(other) => {
                let types: &[&str] = if nullable { &["object", "null"] } else { &["object"] };
                return Err(refused(Some(key), other, not_of_type(other, types)));
            }
        };
        let specs = Object { path: Some(key), value, fields }.all_specs(&METADATA)?;
        let metadata: BTreeMap<String, String> =
            specs.into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
        check_count(metadata.len(), limits)?;
        Ok(Given::Value(metadata))
    }
}

fn no_text<T>(given: Given<T>) -> Given<String> {
    if matches!(given, Given::Null) { Given::Null } else { Given::Absent }
}
