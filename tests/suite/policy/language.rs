//! The language of rules. `cases.jsonl` holds rules, callers, targets and the verdicts that oslo.policy 6.0 gave;
//! `allowed` is null where it understood no rule, and took it for "never".

use std::collections::BTreeMap;

use pumice::identity::Caller;
use pumice::identity::policy::{Check, Rules, Subject, Target, check, listed};
use pumice::model::{ProjectId, UserId};
use serde_json::Value;

const HELPERS: [(&str, &str); 5] = [
    ("owner", "project_id:%(project_id)s"),
    ("admin_required", "role:admin or is_admin:True"),
    ("deny", "!"),
    ("anyone", ""),
    ("both", "rule:owner and not rule:deny"),
];

#[test]
fn verdicts_are_those_of_oslo_policy() {
    let cases = include_str!("cases.jsonl");
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let rule = parsed(&case["rule"]);
        let verdict = rule.map(|rule| allowed(rule, &case["caller"], &case["target"]));
        assert_eq!(verdict, case["allowed"].as_bool(), "{line}");
    }
}

fn parsed(rule: &Value) -> Option<Check> {
    match rule {
        Value::String(text) => check(text).ok(),
        lists => listed(&serde_json::from_value::<Vec<Vec<String>>>(lists.clone()).unwrap()).ok(),
    }
}

fn allowed(rule: Check, caller: &Value, target: &Value) -> bool {
    let helpers = HELPERS.map(|(name, text)| (name.to_owned(), check(text).unwrap()));
    let mut rules = BTreeMap::from(helpers);
    rules.insert("case".to_owned(), rule);
    let text = |name: &str| caller[name].as_str().map(str::to_owned);
    let texts = |name: &str| serde_json::from_value(caller[name].clone()).unwrap();
    let caller_is_admin = caller["is_admin"] == true;
    let caller = Caller {
        is_admin_project: true,
        user_id: UserId(text("user_id").unwrap()),
        user_name: None,
        user_domain_id: None,
        project_id: text("project_id").map(ProjectId),
        project_name: None,
        project_domain_id: None,
        domain_id: text("domain_id"),
        system_scope: text("system_scope"),
        roles: texts("roles"),
        service_roles: texts("service_roles"),
    };
    let subject = Subject { caller: &caller, is_admin: caller_is_admin };
    let target = target.as_object().unwrap().iter().fold(Target::new(), |target, (key, value)| match value {
        Value::Null => target.with_option(key, None::<&str>),
        Value::Bool(truth) => target.with_truth(key, *truth),
        Value::String(text) => target.with(key, text),
        number => target.with(key, number),
    });
    Rules::new(rules).unwrap().allow("case", &subject, &target)
}
