//! From the text of a rule to its tree.
//!
//! Texts that oslo.policy takes for "never" after a line in its log are refused here: a rule that does not say what
//! its author meant should be heard of at the start.

use super::Template;
use super::check::{Check, Literal};

/// Longer than any rule anybody reads.
const LONGEST: usize = 16 * 1024;
/// Parentheses and `not`s within each other.
const DEEPEST: usize = 32;

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the rule is longer than {LONGEST} bytes")]
    TooLong,
    #[error("the rule nests deeper than {DEEPEST} levels")]
    TooDeep,
    #[error("the rule is blank; write @ for always and ! for never")]
    Blank,
    #[error("{0:?} is no check: a check is written kind:value")]
    NotACheck(String),
    #[error("{0:?} has no kind before its colon")]
    NoKind(String),
    #[error("{0:?} has a % that is not part of %(key)s")]
    Template(String),
    #[error("{0:?} is neither something about the caller nor a literal")]
    Kind(String),
    #[error("checks of other servers ({0}:) are not supported")]
    Remote(String),
    #[error("a check is missing before {0}")]
    MissingBefore(String),
    #[error("a check is missing at the end")]
    MissingAtEnd,
    #[error("\"and\" or \"or\" is missing before {0}")]
    MissingOperator(String),
    #[error("a parenthesis is not closed")]
    NotClosed,
    #[error("a parenthesis is closed that was not opened")]
    NotOpened,
}

/// A rule as it is written today.
pub fn check(text: &str) -> Result<Check, Fault> {
    if text.is_empty() {
        return Ok(Check::Always);
    }
    if text.len() > LONGEST {
        return Err(Fault::TooLong);
    }
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Err(Fault::Blank);
    }
    let mut parser = Parser { tokens: tokens.into_iter().peekable() };
    let check = parser.any(0)?;
    match parser.tokens.next() {
        None => Ok(check),
        Some(Token::Close) => Err(Fault::NotOpened),
        Some(token) => Err(Fault::MissingOperator(token.shown())),
    }
}

/// A rule in the old form: any of the lists, of which all must hold.
pub fn listed(lists: &[Vec<String>]) -> Result<Check, Fault> {
    if lists.is_empty() {
        return Ok(Check::Always);
    }
    let lists = lists.iter().filter(|list| !list.is_empty());
    let lists = lists.map(|list| {
        let checks: Vec<Check> = list.iter().map(|text| single(text)).collect::<Result<_, _>>()?;
        Ok(joined(checks, Check::All))
    });
    let lists: Vec<Check> = lists.collect::<Result<_, Fault>>()?;
    Ok(if lists.is_empty() { Check::Never } else { joined(lists, Check::Any) })
}

fn joined(mut checks: Vec<Check>, join: fn(Vec<Check>) -> Check) -> Check {
    match checks.pop() {
        Some(only) if checks.is_empty() => only,
        last => {
            checks.extend(last);
            join(checks)
        }
    }
}

enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Check(Check),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Token::Open => "(".to_owned(),
            Token::Close => ")".to_owned(),
            Token::And => "\"and\"".to_owned(),
            Token::Or => "\"or\"".to_owned(),
            Token::Not => "\"not\"".to_owned(),
            Token::Check(check) => check.to_string(),
        }
    }
}

/// Blanks are between tokens; parentheses stand at the beginning and the end of a word.
fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let inner = word.trim_start_matches('(');
        tokens.extend((inner.len()..word.len()).map(|_| Token::Open));
        let clean = inner.trim_end_matches(')');
        match clean.to_ascii_lowercase().as_str() {
            "" => {}
            "and" => tokens.push(Token::And),
            "or" => tokens.push(Token::Or),
            "not" => tokens.push(Token::Not),
            _ => tokens.push(Token::Check(single(clean)?)),
        }
        tokens.extend((clean.len()..inner.len()).map(|_| Token::Close));
    }
    Ok(tokens)
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    /// `or` binds less than `and`, and `and` less than `not`.
    fn any(&mut self, depth: usize) -> Result<Check, Fault> {
        let mut checks = vec![self.all(depth)?];
        while self.tokens.next_if(|token| matches!(token, Token::Or)).is_some() {
            checks.push(self.all(depth)?);
        }
        Ok(joined(checks, Check::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Check, Fault> {
        let mut checks = vec![self.one(depth)?];
        while self.tokens.next_if(|token| matches!(token, Token::And)).is_some() {
            checks.push(self.one(depth)?);
        }
        Ok(joined(checks, Check::All))
    }

    fn one(&mut self, depth: usize) -> Result<Check, Fault> {
        if depth > DEEPEST {
            return Err(Fault::TooDeep);
        }
        match self.tokens.next() {
            None => Err(Fault::MissingAtEnd),
            Some(Token::Check(check)) => Ok(check),
            Some(Token::Not) => Ok(Check::Not(Box::new(self.one(depth + 1)?))),
            Some(Token::Open) => {
                let check = self.any(depth + 1)?;
                match self.tokens.next() {
                    Some(Token::Close) => Ok(check),
                    None => Err(Fault::NotClosed),
                    Some(token) => Err(Fault::MissingOperator(token.shown())),
                }
            }
            Some(token) => Err(Fault::MissingBefore(token.shown())),
        }
    }
}

/// `kind:value`, or one of the two signs.
fn single(text: &str) -> Result<Check, Fault> {
    match text {
        "@" => return Ok(Check::Always),
        "!" => return Ok(Check::Never),
        _ => {}
    }
    let (kind, value) = text.split_once(':').ok_or_else(|| Fault::NotACheck(text.to_owned()))?;
    let template = || Template::parse(value).ok_or_else(|| Fault::Template(text.to_owned()));
    match kind {
        "" => Err(Fault::NoKind(text.to_owned())),
        "rule" => Ok(Check::Rule(value.to_owned())),
        "role" => Ok(Check::Role(template()?)),
        "http" | "https" => Err(Fault::Remote(kind.to_owned())),
        _ => match literal(kind) {
            Some(literal) => Ok(Check::Literal(literal, template()?)),
            None if is_name(kind) => Ok(Check::Caller(kind.to_owned(), template()?)),
            None => Err(Fault::Kind(kind.to_owned())),
        },
    }
}

/// `'text'`, `"text"`, `True`, `False`, `None` or a whole number.
fn literal(kind: &str) -> Option<Literal> {
    let quoted = ['\'', '"'].into_iter().find_map(|quote| kind.strip_prefix(quote)?.strip_suffix(quote));
    let plain = |text: &str| !text.contains(['\'', '"', '\\']);
    let is_number = {
        let digits = kind.strip_prefix('-').unwrap_or(kind);
        let leads = digits.len() == 1 || !digits.starts_with('0');
        !digits.is_empty() && leads && digits.bytes().all(|digit| digit.is_ascii_digit())
    };
    let text = match quoted {
        Some(text) if plain(text) => text,
        None if is_number || matches!(kind, "True" | "False" | "None") => kind,
        _ => return None,
    };
    // Python knows no negative zero here.
    let text = if text == "-0" && quoted.is_none() { "0" } else { text };
    Some(Literal { text: text.to_owned(), written: kind.to_owned() })
}

/// Words with dots between them.
fn is_name(kind: &str) -> bool {
    kind.split('.').all(|word| {
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        for (text, reason) in [
            (" ", "the rule is blank; write @ for always and ! for never"),
            ("admin", "\"admin\" is no check: a check is written kind:value"),
            (":admin", "\":admin\" has no kind before its colon"),
            ("role:a and", "a check is missing at the end"),
            ("and role:a", "a check is missing before \"and\""),
            ("role:a role:b", "\"and\" or \"or\" is missing before role:b"),
            ("role:a (role:b)", "\"and\" or \"or\" is missing before ("),
            ("(role:a role:b)", "\"and\" or \"or\" is missing before role:b"),
            ("(role:a", "a parenthesis is not closed"),
            ("role:a)", "a parenthesis is closed that was not opened"),
            ("()", "a check is missing before )"),
            ("project_id:%(project_id)", "\"project_id:%(project_id\" has a % that is not part of %(key)s"),
            ("project_id:%d", "\"project_id:%d\" has a % that is not part of %(key)s"),
            ("'a:%(x)s", "\"'a\" is neither something about the caller nor a literal"),
            ("007:%(x)s", "\"007\" is neither something about the caller nor a literal"),
            ("https://example.org/%(x)s", "checks of other servers (https:) are not supported"),
        ] {
            assert_eq!(check(text).unwrap_err().to_string(), reason, "{text}");
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        assert!(check(&format!("{}@{}", "(".repeat(32), ")".repeat(32))).is_ok());
        assert_eq!(check(&format!("{}@{}", "(".repeat(33), ")".repeat(33))), Err(Fault::TooDeep));
        assert_eq!(check(&format!("{}@", "not ".repeat(1000))), Err(Fault::TooDeep));
        assert_eq!(check(&"@ or ".repeat(10_000)), Err(Fault::TooLong));
    }

    fn word() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("(".to_owned()),
            Just(")".to_owned()),
            Just(" ".to_owned()),
            Just(" and ".to_owned()),
            Just(" or ".to_owned()),
            Just("not ".to_owned()),
            Just("@".to_owned()),
            Just("!".to_owned()),
            Just("role:%(r)s".to_owned()),
            Just("rule:a".to_owned()),
            Just("'x':%(y)s".to_owned()),
            Just("True:a%%b".to_owned()),
            Just("user_id:%(user_id)s".to_owned()),
            ".{0,8}",
        ]
    }

    proptest! {
        #[test]
        fn a_rule_reads_back_as_it_was_written(words in proptest::collection::vec(word(), 0..24)) {
            if let Ok(tree) = check(&words.concat()) {
                prop_assert_eq!(check(&tree.to_string()), Ok(tree));
            }
        }

        #[test]
        fn no_text_is_too_much(text in "\\PC{0,200}") {
            let _ = check(&text);
        }
    }
}
