//! All rules of one API.

use std::collections::{BTreeMap, HashMap};

use super::{Check, Subject, Target};

/// Checks that one verdict may have to look at, through all the rules it refers to.
const MOST_CHECKS: usize = 10_000;
/// Rules that refer to rules that refer to rules.
const DEEPEST: usize = 32;

/// A whole: every rule that another one refers to is there, and none refers to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules(BTreeMap<String, Check>);

/// What is wrong with rules as a whole; each names the rule to look at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesFault {
    #[error("{rule:?} refers to the rule {missing:?}, which does not exist")]
    Missing { rule: String, missing: String },
    #[error("rules refer to each other in a circle: {}", .rules.join(", "))]
    Cycle { rules: Vec<String> },
    #[error("{rule:?} refers to too many rules")]
    TooLarge { rule: String },
}

impl RulesFault {
    /// Those to look at.
    pub fn rules(&self) -> &[String] {
        match self {
            RulesFault::Missing { rule, .. } | RulesFault::TooLarge { rule } => std::slice::from_ref(rule),
            RulesFault::Cycle { rules } => rules,
        }
    }
}

impl Rules {
    pub fn new(rules: BTreeMap<String, Check>) -> Result<Self, RulesFault> {
        let mut survey = Survey { rules: &rules, seen: HashMap::new(), path: Vec::new() };
        rules.keys().try_for_each(|name| survey.weigh(name, 0).map(drop))?;
        Ok(Self(rules))
    }

    /// Whether the subject may do that to the target. A rule that is not there allows nothing.
    pub fn allow(&self, rule: &str, subject: &Subject<'_>, target: &Target) -> bool {
        self.0.get(rule).is_some_and(|check| {
            check.holds(subject, target, &|name: &str| self.allow(name, subject, target))
        })
    }
}

/// Follows references, each rule once.
struct Survey<'a> {
    rules: &'a BTreeMap<String, Check>,
    /// Checks below a rule, and how deep; `None` while it is being looked at.
    seen: HashMap<&'a str, Option<(usize, usize)>>,
    /// The rules that led here.
    path: Vec<&'a str>,
}

impl<'a> Survey<'a> {
    fn weigh(&mut self, name: &'a str, depth: usize) -> Result<(usize, usize), RulesFault> {
        let rule = || name.to_owned();
        match self.seen.get(name) {
            Some(Some(weight)) => return Ok(*weight),
            Some(None) => {
                let circle = self.path.iter().skip_while(|led| **led != name);
                return Err(RulesFault::Cycle { rules: circle.map(|led| (*led).to_owned()).collect() });
            }
            None if depth > DEEPEST => return Err(RulesFault::TooLarge { rule: rule() }),
            None => {}
        }
        self.seen.insert(name, None);
        self.path.push(name);
        let mut checks = 0;
        let mut references = Vec::new();
        if let Some(check) = self.rules.get(name) {
            check.walk(&mut |check| {
                checks += 1;
                if let Check::Rule(name) = check {
                    references.push(name.as_str());
                }
            });
        }
        let mut height = 0;
        for reference in references {
            if !self.rules.contains_key(reference) {
                return Err(RulesFault::Missing { rule: rule(), missing: reference.to_owned() });
            }
            let (below, deep) = self.weigh(reference, depth + 1)?;
            checks += below;
            height = height.max(deep + 1);
            if checks > MOST_CHECKS || height > DEEPEST {
                return Err(RulesFault::TooLarge { rule: rule() });
            }
        }
        self.path.pop();
        self.seen.insert(name, Some((checks, height)));
        Ok((checks, height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::policy::check;

    fn rules(texts: &[(&str, &str)]) -> Result<Rules, RulesFault> {
        Rules::new(texts.iter().map(|(name, text)| ((*name).to_owned(), check(text).unwrap())).collect())
    }

    #[test]
    fn a_reference_must_lead_somewhere_and_not_back() {
        let missing = RulesFault::Missing { rule: "a".into(), missing: "b".into() };
        assert_eq!(rules(&[("a", "@ or rule:b")]), Err(missing));
        assert_eq!(rules(&[("a", "rule:a")]), Err(RulesFault::Cycle { rules: vec!["a".into()] }));
        let circle = RulesFault::Cycle { rules: vec!["b".into(), "c".into()] };
        assert_eq!(rules(&[("a", "not rule:b"), ("b", "rule:c"), ("c", "rule:b")]), Err(circle));
        assert!(rules(&[("a", "rule:b and rule:c"), ("b", "rule:c"), ("c", "@")]).is_ok());
    }

    #[test]
    fn rules_that_double_each_other_are_refused() {
        let names: Vec<String> = (0..30).map(|i| format!("r{i:02}")).collect();
        let texts: Vec<String> = (1..31).map(|i| format!("rule:r{i:02} or rule:r{i:02}")).collect();
        let mut all: Vec<(&str, &str)> =
            names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_str())).collect();
        all.push(("r30", "!"));
        assert!(matches!(rules(&all), Err(RulesFault::TooLarge { .. })));
    }

    #[test]
    fn a_long_chain_is_refused_however_it_is_walked() {
        for order in ["r", "z"] {
            // From its head, and, by the names' order, from its end.
            let name = |i: usize| format!("{order}{:03}", if order == "r" { i } else { 900 - i });
            let texts: Vec<(String, String)> =
                (0..100).map(|i| (name(i), format!("rule:{}", name(i + 1)))).collect();
            let mut all: Vec<(&str, &str)> =
                texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            let last = name(100);
            all.push((&last, "@"));
            assert!(matches!(rules(&all), Err(RulesFault::TooLarge { .. })));
        }
    }
}
