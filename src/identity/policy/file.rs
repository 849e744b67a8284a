//! A policy file: rules under their names, in YAML, as oslo.policy has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::Check;
use super::parse::{check, listed};

/// All rules of Cinder and Glance together fill a tenth of it.
const LARGEST: u64 = 1 << 20;

/// Why a policy file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    #[error("{}: cannot be read: {source}", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}, line {line}: {reason}", .path.display())]
    Wrong { path: PathBuf, line: usize, reason: String },
}

/// A rule, and the line its name stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub check: Check,
    pub line: usize,
}

pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Given>, FileFault> {
    let wrong = |(line, reason)| FileFault::Wrong { path: path.to_owned(), line, reason };
    let unreadable = |source| FileFault::Unreadable { path: path.to_owned(), source };
    if fs::metadata(path).map_err(unreadable)?.len() > LARGEST {
        return Err(wrong((1, format!("the file is larger than {LARGEST} bytes"))));
    }
    parse(&fs::read_to_string(path).map_err(unreadable)?).map_err(wrong)
}

/// The rules of a text, without their names.
pub(crate) fn read_text(text: &str) -> Result<Vec<Check>, Wrong> {
    Ok(parse(text)?.into_values().map(|given| given.check).collect())
}

type Wrong = (usize, String);

fn parse(text: &str) -> Result<BTreeMap<String, Given>, Wrong> {
    let mut events = Events(Parser::new_from_str(text));
    let mut rules = BTreeMap::new();
    if !events.begin()? {
        return Ok(rules);
    }
    while let Some((name, line)) = events.key()? {
        let rule = events.rule()?.map_err(|fault| (line, format!("{name:?}: {fault}")))?;
        if rules.insert(name.clone(), Given { check: rule, line }).is_some() {
            return Err((line, format!("{name:?} is there twice")));
        }
    }
    events.end()?;
    Ok(rules)
}

/// Reads one mapping of texts, or of lists of texts, and refuses everything else that YAML can say: nothing here
/// nests, and nothing is said by reference.
struct Events<'a>(Parser<'a, saphyr_parser::StrInput<'a>>);

enum Item {
    Text(String),
    ListBegins,
    ListEnds,
    MappingEnds,
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize), Wrong> {
        match self.0.next() {
            Some(Ok((event, Span { start, .. }))) => Ok((event, start.line())),
            Some(Err(error)) => Err((error.marker().line(), error.info().to_owned())),
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    /// `false`: the file says nothing.
    fn begin(&mut self) -> Result<bool, Wrong> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd, _) => return Ok(false),
                (Event::Scalar(text, ScalarStyle::Plain, 0, None), _) if is_null(&text) => {
                    self.end()?;
                    return Ok(false);
                }
                (Event::MappingStart(0, None), _) => return Ok(true),
                (_, line) => return Err((line, "the file must be rules under their names".to_owned())),
            }
        }
    }

    fn end(&mut self) -> Result<(), Wrong> {
        loop {
            match self.next()? {
                (Event::DocumentEnd | Event::Nothing, _) => {}
                (Event::StreamEnd, _) => return Ok(()),
                (_, line) => return Err((line, "there is more than one document".to_owned())),
            }
        }
    }

    fn item(&mut self) -> Result<(Item, usize), Wrong> {
        let (event, line) = self.next()?;
        let item = match event {
            Event::Scalar(text, ScalarStyle::Plain, 0, None) if is_null(&text) => {
                return Err((
                    line,
                    "a rule without text; write \"@\" for always and \"!\" for never".to_owned(),
                ));
            }
            Event::Scalar(text, _, 0, None) => Item::Text(text.into_owned()),
            Event::SequenceStart(0, None) => Item::ListBegins,
            Event::SequenceEnd => Item::ListEnds,
            Event::MappingEnd => Item::MappingEnds,
            Event::Alias(_) => return Err((line, "references (*) are not supported".to_owned())),
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                let reason =
                    "only texts, and lists of texts, are supported: no mappings, anchors (&) or tags (!)";
                return Err((line, reason.to_owned()));
            }
            _ => return Err((line, "the file ends too early".to_owned())),
        };
        Ok((item, line))
    }

    /// `None`: there is no more.
    fn key(&mut self) -> Result<Option<(String, usize)>, Wrong> {
        match self.item()? {
            (Item::Text(name), line) => Ok(Some((name, line))),
            (Item::MappingEnds, _) => Ok(None),
            (Item::ListBegins | Item::ListEnds, line) => {
                Err((line, "a rule's name must be a text".to_owned()))
            }
        }
    }

    /// A text, or the old form: a list of texts and of lists of texts.
    fn rule(&mut self) -> Result<Result<Check, super::parse::Fault>, Wrong> {
        match self.item()? {
            (Item::Text(text), _) => Ok(check(&text)),
            (Item::ListBegins, _) => Ok(listed(&self.lists()?)),
            (Item::ListEnds | Item::MappingEnds, line) => Err((line, "a rule is missing".to_owned())),
        }
    }

    fn lists(&mut self) -> Result<Vec<Vec<String>>, Wrong> {
        let mut lists = Vec::new();
        loop {
            match self.item()? {
                (Item::Text(text), _) => lists.push(vec![text]),
                (Item::ListBegins, _) => lists.push(self.texts()?),
                (Item::ListEnds, _) => return Ok(lists),
                (Item::MappingEnds, line) => return Err((line, "a list is not closed".to_owned())),
            }
        }
    }

    fn texts(&mut self) -> Result<Vec<String>, Wrong> {
        let mut texts = Vec::new();
        loop {
            match self.item()? {
                (Item::Text(text), _) => texts.push(text),
                (Item::ListEnds, _) => return Ok(texts),
                (Item::ListBegins | Item::MappingEnds, line) => {
                    return Err((line, "lists are two deep at most".to_owned()));
                }
            }
        }
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, String, usize)> {
        let rules = parse(text).unwrap();
        rules.into_iter().map(|(name, rule)| (name, rule.check.to_string(), rule.line)).collect()
    }

    #[test]
    fn rules_are_read_with_their_lines() {
        let text = "# as a sample file begins\n\"a\": \"role:x\"\nb: ''\nc:\n  rule:a or\n  role:y\n\
            d: [[\"role:x\", \"role:y\"], \"@\", []]\ne: []\n";
        let rules = [
            ("a", "role:x", 2),
            ("b", "@", 3),
            ("c", "(rule:a or role:y)", 4),
            ("d", "((role:x and role:y) or @)", 7),
            ("e", "@", 8),
        ];
        let rules = rules.map(|(name, check, line)| (name.to_owned(), check.to_owned(), line));
        assert_eq!(read(text), rules);
        for nothing in ["", "# nothing\n", "---\n", "{}", "--- ~\n...\n"] {
            assert_eq!(read(nothing), [], "{nothing:?}");
        }
        assert_eq!(read("{\"a\": \"!\"}"), [("a".to_owned(), "!".to_owned(), 1)]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, line, reason) in [
            ("a: 'role:x'\nb: 'role:x and'\n", 2, "\"b\": a check is missing at the end"),
            ("a: '@'\nb: '@'\na: '!'\n", 3, "\"a\" is there twice"),
            ("a:\nb: '@'\n", 1, "a rule without text; write \"@\" for always and \"!\" for never"),
            ("a: true\n", 1, "\"a\": \"true\" is no check: a check is written kind:value"),
            ("- a\n", 1, "the file must be rules under their names"),
            (
                "a: &x role:y\n",
                1,
                "only texts, and lists of texts, are supported: no mappings, anchors (&) or tags (!)",
            ),
            (
                "a: {b: c}\n",
                1,
                "only texts, and lists of texts, are supported: no mappings, anchors (&) or tags (!)",
            ),
            ("a: [[['role:x']]]\n", 1, "lists are two deep at most"),
            ("a: '@'\n---\nb: '@'\n", 2, "there is more than one document"),
        ] {
            assert_eq!(parse(text).unwrap_err(), (line, reason.to_owned()), "{text}");
        }
        // In the parser's own words.
        assert_eq!(parse("a: '@'\nb: '@\n").unwrap_err().0, 2);
        assert_eq!(parse("a: '@'\n\tb: [\n").unwrap_err().0, 2);
    }

    #[test]
    fn a_hostile_file_is_refused_soon() {
        let deep = format!("a: {}", "[".repeat(100_000));
        assert!(parse(&deep).is_err());
        let mapping = "{a: ".repeat(100_000);
        assert!(parse(&mapping).is_err());
        let laughs = "a: &a ['@']\nb: &b [*a, *a]\nc: [*b, *b]\n";
        assert!(parse(laughs).is_err());
    }

    proptest! {
        #[test]
        fn no_file_is_too_much(text in "[\\PC\n]{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn nor_is_one_of_signs(text in "[-\\[\\]{}:,&*!|>'\"%@#a \n]{0,60}") {
            let _ = parse(&text);
        }
    }
}
