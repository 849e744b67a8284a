//! Values as Python writes and reads them: refusals show them so, and filters may be given so.

use serde_json::{Map, Number, Value};

pub use crate::http::truth as boolean;

/// `repr()`
pub fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => repr_text(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let items: Vec<String> =
                map.iter().map(|(key, value)| format!("{}: {}", repr_text(key), repr(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

/// `str()`
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

pub fn repr_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// `repr()` of a tuple of two texts or more.
pub fn tuple(texts: &[&str]) -> String {
    format!("({})", joined(texts))
}

/// `repr()` of a list of texts.
pub fn list(texts: &[&str]) -> String {
    format!("[{}]", joined(texts))
}

fn joined(texts: &[&str]) -> String {
    texts.iter().map(|text| repr_text(text)).collect::<Vec<_>>().join(", ")
}

/// A literal: texts, numbers, `True`, `False`, `None`, lists, tuples and dictionaries with texts as keys.
/// JSON is one too, but for its `true`, `false` and `null`.
pub fn literal(text: &str) -> Option<Value> {
    let mut reader = Reader { rest: text.trim_matches([' ', '\t']) };
    let value = reader.value(0)?;
    reader.skip_spaces();
    reader.rest.is_empty().then_some(value)
}

/// Deeper than this nobody filters.
const DEPTH: usize = 8;

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn takes(&mut self, token: &str) -> bool {
        self.skip_spaces();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.skip_spaces();
        if depth > DEPTH {
            return None;
        }
        match self.rest.chars().next()? {
            '\'' | '"' => self.quoted().map(Value::String),
            'u' if self.rest[1..].starts_with(['\'', '"']) => {
                self.rest = &self.rest[1..];
                self.quoted().map(Value::String)
            }
            '{' => self.dictionary(depth),
            '[' => self.list("[", "]", depth),
            '(' => self.list("(", ")", depth),
            _ => self.word(),
        }
    }

    fn quoted(&mut self) -> Option<String> {
        let mut chars = self.rest.char_indices();
        let (_, quote) = chars.next()?;
        let mut out = String::new();
        while let Some((i, c)) = chars.next() {
            match c {
                '\\' => match chars.next()?.1 {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    'r' => out.push('\r'),
                    c @ ('\\' | '\'' | '"') => out.push(c),
                    _ => return None,
                },
                c if c == quote => {
                    self.rest = &self.rest[i + c.len_utf8()..];
                    return Some(out);
                }
                c => out.push(c),
            }
        }
        None
    }

    fn dictionary(&mut self, depth: usize) -> Option<Value> {
        self.takes("{");
        let mut map = Map::new();
        while !self.takes("}") {
            let Value::String(key) = self.value(depth + 1)? else { return None };
            if !self.takes(":") {
                return None;
            }
            map.insert(key, self.value(depth + 1)?);
            if !self.takes(",") {
                return self.takes("}").then_some(Value::Object(map));
            }
        }
        Some(Value::Object(map))
    }

    fn list(&mut self, open: &str, close: &str, depth: usize) -> Option<Value> {
        self.takes(open);
        let mut items = Vec::new();
        while !self.takes(close) {
            items.push(self.value(depth + 1)?);
            if !self.takes(",") {
                return self.takes(close).then_some(Value::Array(items));
            }
        }
        Some(Value::Array(items))
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        match word {
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            "None" => Some(Value::Null),
            number => number
                .parse::<i64>()
                .ok()
                .filter(|_| !has_leading_zero(number))
                .map(|number| Value::Number(Number::from(number))),
        }
    }
}

fn has_leading_zero(number: &str) -> bool {
    let digits = number.trim_start_matches(['+', '-']);
    digits.len() > 1 && digits.starts_with('0')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_as_python_shows_them() {
        for (value, shown) in [
            (json!(null), "None"),
            (json!([1, 1.5, true]), "[1, 1.5, True]"),
            (json!({"a": "b", "c": {}}), "{'a': 'b', 'c': {}}"),
            (json!("it's"), "\"it's\""),
            (json!("it's \"x\""), "'it\\'s \"x\"'"),
            (json!("a\nb\u{1}"), "'a\\nb\\x01'"),
        ] {
            assert_eq!(repr(&value), shown);
        }
        assert_eq!(text(&json!("plain")), "plain");
    }

    #[test]
    fn literals_are_read() {
        for (text, value) in [
            ("{'k': 'v', \"l\": \"w\",}", json!({"k": "v", "l": "w"})),
            ("{}", json!({})),
            ("['a', u'b']", json!(["a", "b"])),
            ("('a',)", json!(["a"])),
            ("5", json!(5)),
            ("-5", json!(-5)),
            ("None", json!(null)),
            ("'it\\'s'", json!("it's")),
        ] {
            assert_eq!(literal(text), Some(value), "{text}");
        }
        for text in ["available", "", "{", "{'a'}", "['a'", "05", "'a' b", "{1: 2}", "u", "ü", "1.5"] {
            assert_eq!(literal(text), None, "{text}");
        }
        assert_eq!(literal(&"[".repeat(10_000)), None);
    }
}
