//! Metadata definitions.

use serde_json::{Value, json};

use crate::support::{Answer, Site};

const NAMESPACES: &str = "/v2/metadefs/namespaces";

struct Api(Site);

impl Api {
    async fn new() -> Self {
        Self(Site::new().await)
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let call = self.0.request(method, &format!("/image{path}")).header("accept", "application/json");
        match body {
            Some(body) => call.json(&body).send().await,
            None => call.send().await,
        }
    }

    async fn get(&self, path: &str) -> Value {
        self.send("GET", path, None).await.expect(200).json()
    }

    async fn make(&self, path: &str, body: Value) -> Value {
        self.send("POST", path, Some(body)).await.expect(201).json()
    }

    /// A fault: its text without the line breaks after it.
    async fn fault(&self, method: &str, path: &str, body: Option<Value>, status: u16) -> String {
        let answer = self.send(method, path, body).await.expect(status);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        message.replace("<br /><br />", "").trim().to_owned()
    }
}

/// What the answers are like whenever they are given.
fn timeless(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if (name == "created_at" || name == "updated_at") && value.is_string() {
                        *value = json!("T");
                    }
                    walk(value);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

const WHOLE: &str = r#"{"namespace":"n2","display_name":"N 2","description":"d","visibility":"public","protected":true,"owner":"z","created_at":"T","updated_at":"T","resource_type_associations":[{"name":"OS::Nova::Flavor","prefix":"hw:","properties_target":"t","created_at":"T","updated_at":"T"},{"name":"OS::Glance::Image","prefix":"hw_","created_at":"T","updated_at":"T"}],"properties":{"p1":{"type":"string","title":"P 1","description":"x","operators":["<in>"],"default":"d","readonly":false,"enum":["a","b"],"pattern":"^a","minLength":1,"maxLength":5},"p2":{"type":"integer","title":"P2","default":"4","minimum":0,"maximum":9},"p3":{"type":"array","title":"P3","items":{"type":"string","enum":["q"]},"uniqueItems":true,"minItems":1,"maxItems":3,"additionalItems":false}},"objects":[{"name":"o1","required":["q1"],"description":"od","properties":{"q1":{"type":"boolean","title":"Q1","default":"True"}},"created_at":"T","updated_at":"T","self":"/v2/metadefs/namespaces/n2/objects/o1","schema":"/v2/schemas/metadefs/object"},{"name":"o2","required":[],"properties":{},"created_at":"T","updated_at":"T","self":"/v2/metadefs/namespaces/n2/objects/o2","schema":"/v2/schemas/metadefs/object"}],"tags":[{"name":"t2"},{"name":"t1"}],"self":"/v2/metadefs/namespaces/n2","schema":"/v2/schemas/metadefs/namespace"}"#;

fn whole() -> Value {
    json!({
        "namespace": "n2", "display_name": "N 2", "description": "d", "visibility": "public", "protected": true,
        "owner": "z",
        "resource_type_associations": [
            {"name": "OS::Nova::Flavor", "prefix": "hw:", "properties_target": "t"},
            {"name": "OS::Glance::Image", "prefix": "hw_"},
        ],
        "properties": {
            "p3": {"title": "P3", "type": "array", "items": {"type": "string", "enum": ["q"]}, "uniqueItems": true,
                "minItems": 1, "maxItems": 3, "additionalItems": false},
            "p1": {"title": "P 1", "type": "string", "description": "x", "default": "d", "enum": ["a", "b"],
                "operators": ["<in>"], "readonly": false, "minLength": 1, "maxLength": 5, "pattern": "^a"},
            "p2": {"title": "P2", "type": "integer", "minimum": 0, "maximum": 9, "default": 4},
        },
        "objects": [
            {"name": "o1", "description": "od", "required": ["q1"],
                "properties": {"q1": {"title": "Q1", "type": "boolean", "default": true}}},
            {"name": "o2"},
        ],
        "tags": [{"name": "t2"}, {"name": "t1"}],
    })
}

#[tokio::test]
async fn a_namespace_is_made_and_shown_with_all_that_is_in_it() {
    let api = Api::new().await;
    let made = api.send("POST", NAMESPACES, Some(whole())).await.expect(201);
    let location = "http://cloud.example:8080/image/v2/metadefs/namespaces/n2";
    assert_eq!(made.header("location"), Some(location));
    assert_eq!(timeless(made.json()).to_string(), WHOLE);
    // No header takes what the name holds.
    let made = api.send("POST", NAMESPACES, Some(json!({"namespace": "a\n\u{7f}é ::/"}))).await.expect(201);
    let location = "http://cloud.example:8080/image/v2/metadefs/namespaces/a%0A%7F%C3%A9%20::%2F";
    assert_eq!(made.header("location"), Some(location));
    assert_eq!(made.json()["self"], "/v2/metadefs/namespaces/a\n\u{7f}é ::/");
    let path = "/v2/metadefs/namespaces/a%0A%7F%C3%A9%20::%2F";
    assert_eq!(api.get(path).await["namespace"], "a\n\u{7f}é ::/");
    api.send("DELETE", path, None).await.expect(204);
    let shown = api.get("/v2/metadefs/namespaces/n2").await;
    let newest_tags_first =
        |text: &str| text.replace(r#"[{"name":"t2"},{"name":"t1"}]"#, r#"[{"name":"t1"},{"name":"t2"}]"#);
    assert_eq!(timeless(shown.clone()).to_string(), newest_tags_first(WHOLE));

    // On a resource type properties have the names that they have there.
    let path = "/v2/metadefs/namespaces/n2?resource_type=OS::Glance::Image";
    let there = api.get(path).await;
    let names: Vec<&String> = there["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["hw_p1", "hw_p2", "hw_p3"]);
    assert_eq!(there["objects"][0]["required"], json!(["hw_q1"]));
    assert!(there["objects"][0]["properties"].get("hw_q1").is_some());
    assert_eq!(api.get("/v2/metadefs/namespaces/n2?resource_type=other").await, shown);

    let mut listed = api.get(NAMESPACES).await;
    assert_eq!(listed["namespaces"].as_array().unwrap().len(), 1);
    let listed = listed["namespaces"][0].take();
    assert_eq!(listed["resource_type_associations"], shown["resource_type_associations"]);
    assert_eq!((listed.get("properties"), listed.get("tags")), (None, None));

    // What was shown can be sent to another cloud.
    let mut copy = shown;
    copy["namespace"] = json!("n3");
    let fields = copy.as_object_mut().unwrap();
    fields.retain(|name, _| !["self", "schema", "created_at", "updated_at"].contains(&name.as_str()));
    let copied = timeless(api.make(NAMESPACES, copy).await).to_string();
    assert_eq!(copied.replace("n3", "n2"), newest_tags_first(WHOLE));
}

#[tokio::test]
async fn a_protected_namespace_and_what_is_in_it_stays() {
    let api = Api::new().await;
    api.make(NAMESPACES, whole()).await;
    let n2 = "/v2/metadefs/namespaces/n2";
    for (path, what) in [
        ("", "namespace n2"),
        ("/objects", "namespace n2"),
        ("/properties", "namespace n2"),
        ("/tags", "namespace n2"),
        ("/objects/o1", "object o1"),
        ("/properties/p1", "property p1"),
        ("/tags/t1", "tag t1"),
        ("/resource_types/OS::Nova::Flavor", "resource-type-association OS::Nova::Flavor"),
    ] {
        let said = api.fault("DELETE", &format!("{n2}{path}"), None, 403).await;
        assert_eq!(said, format!("Metadata definition {what} is protected and cannot be deleted."));
    }
    let update = api.send("PUT", n2, Some(json!({"namespace": "n2"}))).await.expect(200).json();
    // What was left out is as in a new one.
    assert_eq!((&update["protected"], &update["visibility"]), (&json!(false), &json!("private")));
    assert_eq!((update.get("description"), update.get("tags")), (None, None));
    for path in ["/objects/o1", "/properties/p1", "/tags/t1", "/resource_types/OS::Nova::Flavor"] {
        api.send("DELETE", &format!("{n2}{path}"), None).await.expect(204);
        api.send("DELETE", &format!("{n2}{path}"), None).await.expect(404);
    }
    for path in ["/objects", "/properties", "/tags"] {
        api.send("DELETE", &format!("{n2}{path}"), None).await.expect(204);
    }
    assert_eq!(api.get(&format!("{n2}/objects")).await["objects"], json!([]));
    assert_eq!(api.get(&format!("{n2}/properties")).await, json!({"properties": {}}));
    assert_eq!(api.get(&format!("{n2}/tags")).await, json!({"tags": []}));
    api.send("DELETE", n2, None).await.expect(204);
    assert_eq!(api.fault("DELETE", n2, None, 404).await, "Namespace n2 not found");
}

#[tokio::test]
async fn what_is_said_against_namespaces() {
    let api = Api::new().await;
    api.make(NAMESPACES, json!({"namespace": "taken"})).await;
    let schema = |said: &str| format!("Provided object does not match schema {said}");
    for (body, status, said) in [
        (json!([]), 400, "Request body must be a JSON object.".to_owned()),
        (json!({}), 400, schema("'namespace': 'namespace' is a required property\n\nOn instance")),
        (json!({"namespace": ""}), 400, "The name of a namespace must not be empty.".to_owned()),
        (json!({"namespace": "n", "self": "x"}), 403, "Attribute 'self' is read-only.".to_owned()),
        (
            json!({"namespace": "n", "foo": "x"}),
            400,
            schema("'namespace': Additional properties are not allowed ('foo' was unexpected)\n\nOn instance"),
        ),
        (
            json!({"namespace": 5}),
            400,
            schema("'namespace': 5 is not of type 'string'\n\nOn instance['namespace']"),
        ),
        (
            json!({"namespace": "n", "visibility": "shared"}),
            400,
            schema("'namespace': 'shared' is not one of ['public', 'private']\n\nOn instance['visibility']"),
        ),
        (json!({"namespace": "a\0"}), 400, "The character NUL is not allowed in texts.".to_owned()),
        (json!({"namespace": "taken"}), 409, "The metadata definition namespace=taken already exists.".to_owned()),
        // Glance fails at these with 500.
        (
            json!({"namespace": "n", "objects": [{}]}),
            400,
            schema("'object': 'name' is a required property\n\nOn instance"),
        ),
        (json!({"namespace": "n", "tags": [{}]}), 400, schema("'tag': 'name' is a required property\n\nOn instance")),
        (
            json!({"namespace": "n", "properties": {"p": {"title": "t", "type": "string", "foo": 1}}}),
            400,
            schema("'property': Additional properties are not allowed ('foo' was unexpected)\n\nOn instance"),
        ),
        (
            json!({"namespace": "n", "tags": [{"name": "a"}, {"name": "a"}]}),
            409,
            "A metadata tag with name=a already exists in namespace=n. (Please note that metadata tag names are case \
             insensitive)."
                .to_owned(),
        ),
    ] {
        assert_eq!(api.fault("POST", NAMESPACES, Some(body), status).await, said);
    }
    // Nothing of what was refused is there.
    assert_eq!(api.get(NAMESPACES).await["namespaces"].as_array().unwrap().len(), 1);
    let said = api.fault("GET", "/v2/metadefs/namespaces/zz", None, 404).await;
    assert_eq!(said, "Metadata definition namespace=zz was not found.");
    for path in
        ["/objects", "/properties", "/tags", "/resource_types", "/objects/o", "/properties/p", "/tags/t"]
    {
        let said = api.fault("GET", &format!("{NAMESPACES}/zz{path}"), None, 404).await;
        assert_eq!(said, "Namespace zz not found");
    }
    api.make(NAMESPACES, json!({"namespace": "other"})).await;
    let said =
        api.fault("PUT", "/v2/metadefs/namespaces/other", Some(json!({"namespace": "taken"})), 409).await;
    assert_eq!(
        said,
        "Invalid update. It would result in a duplicate metadata definition namespace with the same name of taken"
    );
    api.send("GET", "/v2/metadefs/namespaces/%00", None).await.expect(404);
    api.send("GET", "/v2/metadefs/namespaces/taken/tags/%00", None).await.expect(404);
}

async fn listed(api: &Api, query: &str) -> Vec<String> {
    let list = api.get(&format!("{NAMESPACES}{query}")).await;
    let list = list["namespaces"].as_array().unwrap().clone();
    list.iter().map(|one| one["namespace"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn namespaces_are_filtered_sorted_and_paged() {
    let api = Api::new().await;
    for (name, visibility) in [("b", "public"), ("a", "private"), ("c", "public")] {
        api.make(NAMESPACES, json!({"namespace": name, "visibility": visibility})).await;
    }
    api.make("/v2/metadefs/namespaces/a/resource_types", json!({"name": "r"})).await;
    for (query, expected) in [
        ("", &["c", "a", "b"][..]),
        ("?visibility=public", &["c", "b"]),
        ("?visibility=private", &["a"]),
        ("?resource_types=r,x", &["a"]),
        ("?resource_types=x", &[]),
        ("?sort_key=namespace&sort_dir=asc", &["a", "b", "c"]),
        ("?sort_dir=asc", &["b", "a", "c"]),
        ("?limit=1", &["c"]),
        ("?limit=0", &[]),
        ("?limit=2&marker=c", &["a", "b"]),
        ("?foo=x", &["c", "a", "b"]),
    ] {
        assert_eq!(listed(&api, query).await, expected, "{query}");
    }
    let page = api.get(&format!("{NAMESPACES}?limit=2")).await;
    assert_eq!(page["next"], "/v2/metadefs/namespaces?limit=2&marker=a");
    assert_eq!(page["first"], "/v2/metadefs/namespaces?limit=2");
    assert_eq!(page["schema"], "/v2/schemas/metadefs/namespaces");
    assert_eq!(api.get(&format!("{NAMESPACES}?limit=9")).await.get("next"), None);
    for (query, status, said) in [
        ("?visibility=shared", 400, "Invalid visibility value: shared"),
        ("?limit=-1", 400, "limit param must be positive"),
        ("?limit=x", 400, "limit param must be an integer"),
        ("?sort_dir=up", 400, "Invalid sort direction: up"),
        ("?marker=zz", 404, "Metadata definition namespace=zz was not found."),
    ] {
        assert_eq!(api.fault("GET", &format!("{NAMESPACES}{query}"), None, status).await, said);
    }
    let said = api.fault("GET", &format!("{NAMESPACES}?sort_key=foo"), None, 400).await;
    assert!(said.starts_with("Invalid sort key: foo."), "{said}");
}

#[tokio::test]
async fn properties() {
    let api = Api::new().await;
    api.make(NAMESPACES, json!({"namespace": "n"})).await;
    let all = "/v2/metadefs/namespaces/n/properties";
    let made = api
        .make(all, json!({"title": "t", "name": "p", "type": "boolean", "default": true, "readonly": true}))
        .await;
    let expected = r#"{"name":"p","type":"boolean","title":"t","default":"True","readonly":true}"#;
    assert_eq!(made.to_string(), expected);
    assert_eq!(api.get(&format!("{all}/p")).await.to_string(), expected);
    assert_eq!(api.get(all).await.to_string(), format!(r#"{{"properties":{{"p":{expected}}}}}"#));
    // Fractions stay, where Glance cuts them off.
    let half = json!({"name": "half", "title": "t", "type": "number", "minimum": 0.5, "default": null});
    let half = api.make(all, half).await;
    assert_eq!((&half["minimum"], &half["default"]), (&json!(0.5), &Value::Null));
    let schema = |said: &str| format!("Provided object does not match schema 'property': {said}");
    let property = |key: &str, value: Value| {
        let mut property = json!({"name": "q", "title": "t", "type": "string"});
        property[key] = value;
        property
    };
    for (body, status, said) in [
        (
            property("name", json!("p")),
            409,
            "A metadata definition property with name=p already exists in namespace=n.".to_owned(),
        ),
        (
            json!({"title": "t", "type": "string"}),
            400,
            schema("'name' is a required property\n\nOn instance"),
        ),
        (json!({"name": "q"}), 400, schema("'type' is a required property\n\nOn instance")),
        (
            property("foo", json!(1)),
            400,
            schema("Additional properties are not allowed ('foo' was unexpected)\n\nOn instance"),
        ),
        (property("created_at", json!("x")), 403, "Attribute 'created_at' is read-only.".to_owned()),
        (
            property("type", json!("foo")),
            400,
            schema(
                "'foo' is not one of ['array', 'boolean', 'integer', 'number', 'object', 'string', None]\n\nOn instance['type']",
            ),
        ),
        (property("type", Value::Null), 400, schema("None is not of type 'string'\n\nOn instance['type']")),
        (
            property("minLength", json!(-1)),
            400,
            schema("-1 is less than the minimum of 0\n\nOn instance['minLength']"),
        ),
        (
            property("operators", json!(["a", 5])),
            400,
            schema("5 is not of type 'string'\n\nOn instance['operators'][1]"),
        ),
        (
            property("enum", json!(["a", 5])),
            400,
            "The values in enum of a property must be strings.".to_owned(),
        ),
        (
            property("items", json!({"enum": ["a"]})),
            400,
            "The items of a property must have a type.".to_owned(),
        ),
        (
            property("default", json!({"a": 1})),
            400,
            "The default of a property must be a string, a number or a boolean.".to_owned(),
        ),
    ] {
        assert_eq!(api.fault("POST", all, Some(body), status).await, said);
    }
    let p = format!("{all}/p");
    let renamed = api.send("PUT", &p, Some(property("name", json!("p2")))).await.expect(200);
    assert_eq!(renamed.text(), r#"{"name":"p2","type":"string","title":"t"}"#);
    assert_eq!(
        api.fault("PUT", &p, Some(property("name", json!("p2"))), 404).await,
        "Could not find property p"
    );
    api.send("PUT", &format!("{all}/p2"), Some(property("name", json!("half")))).await.expect(409);

    api.make("/v2/metadefs/namespaces/n/resource_types", json!({"name": "r", "prefix": "x:"})).await;
    assert_eq!(api.get(&format!("{all}/x:p2?resource_type=r")).await["name"], "p2");
    let said = api.fault("GET", &format!("{all}/p2?resource_type=r"), None, 404).await;
    assert_eq!(
        said,
        "Property p2 does not start with the expected resource type association prefix of 'x:'."
    );
    let said = api.fault("GET", &format!("{all}/p2?resource_type=s"), None, 404).await;
    assert_eq!(said, "The metadata definition resource-type with name=s, was not found.");
}

#[tokio::test]
async fn objects() {
    let api = Api::new().await;
    api.make(NAMESPACES, json!({"namespace": "n"})).await;
    let all = "/v2/metadefs/namespaces/n/objects";
    let body = json!({"name": "o", "required": ["a"], "properties": {"a": {"title": "A", "type": "string"}}});
    let made = api.make(all, body).await;
    let expected = r#"{"name":"o","required":["a"],"properties":{"a":{"type":"string","title":"A"}},"created_at":"T","updated_at":"T","self":"/v2/metadefs/namespaces/n/objects/o","schema":"/v2/schemas/metadefs/object"}"#;
    assert_eq!(timeless(made).to_string(), expected);
    let list = timeless(api.get(all).await).to_string();
    assert_eq!(list, format!(r#"{{"objects":[{expected}],"schema":"v2/schemas/metadefs/objects"}}"#));
    assert_eq!(timeless(api.get(&format!("{all}/o")).await).to_string(), expected);
    let schema = |said: &str| format!("Provided object does not match schema 'object': {said}");
    for (body, status, said) in [
        (
            json!({"name": "o"}),
            409,
            "A metadata definition object with name=o already exists in namespace=n.".to_owned(),
        ),
        (json!({}), 400, schema("'name' is a required property\n\nOn instance")),
        (json!({"name": "x", "schema": "y"}), 403, "Attribute 'schema' is read-only.".to_owned()),
        (
            json!({"name": "x", "required": ["a", "a"]}),
            400,
            schema("[...] has non-unique elements\n\nOn instance['required']"),
        ),
        (
            json!({"name": "x", "description": null}),
            400,
            schema("None is not of type 'string'\n\nOn instance['description']"),
        ),
        (
            json!({"name": "x", "properties": {"a": {"title": "A"}}}),
            400,
            schema("'type' is a required property\n\nOn instance['properties']['a']"),
        ),
    ] {
        assert_eq!(api.fault("POST", all, Some(body), status).await, said);
    }
    let changed = api.send("PUT", &format!("{all}/o"), Some(json!({"name": "p", "description": "d"}))).await;
    let changed = changed.expect(200).json();
    assert_eq!((&changed["description"], &changed["required"]), (&json!("d"), &json!([])));
    assert_eq!(api.fault("GET", &format!("{all}/o"), None, 404).await, "Could not find metadata object o");
}

#[tokio::test]
async fn tags() {
    let api = Api::new().await;
    api.make(NAMESPACES, json!({"namespace": "n"})).await;
    let all = "/v2/metadefs/namespaces/n/tags";
    let names = async |query: &str| {
        let tags = api.get(&format!("{all}{query}")).await["tags"].as_array().unwrap().clone();
        tags.iter().map(|tag| tag["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let made = api.send("POST", &format!("{all}/t"), None).await.expect(201).json();
    assert_eq!(timeless(made), json!({"name": "t", "created_at": "T", "updated_at": "T"}));
    let taken = api.fault("POST", &format!("{all}/t"), None, 409).await;
    assert!(taken.starts_with("A metadata tag with name=t already exists in namespace=n."), "{taken}");
    api.send("POST", &format!("{all}/{}", "x".repeat(81)), None).await.expect(400);
    let with_body = api.fault("POST", &format!("{all}/x"), Some(json!({})), 400).await;
    assert_eq!(with_body, "A body is not expected with this request.");

    // Several take the place of what is there, unless they are to be added.
    let several = json!({"tags": [{"name": "b"}, {"name": "a"}]});
    assert_eq!(api.make(all, several.clone()).await, several);
    assert_eq!(names("").await, ["a", "b"]);
    for (append, expected) in [("True", &["c", "a", "b"][..]), ("false", &["c"])] {
        let call = api.0.request("POST", &format!("/image{all}")).header("x-openstack-append", append);
        call.json(&json!({"tags": [{"name": "c"}]})).send().await.expect(201);
        assert_eq!(names("").await, expected, "{append}");
    }
    assert_eq!(api.make(all, json!({"tags": []})).await, json!({"tags": []}));
    assert_eq!(names("").await, ["c"]);
    let schema = |said: &str| format!("Provided object does not match schema 'tags': {said}");
    for (body, status, said) in [
        (json!({}), 400, schema("'tags' is a required property\n\nOn instance")),
        (json!({"tags": [{}]}), 400, schema("'name' is a required property\n\nOn instance['tags'][0]")),
        (
            json!({"tags": [{"name": "c", "x": 1}]}),
            400,
            schema("Additional properties are not allowed ('x' was unexpected)\n\nOn instance['tags'][0]"),
        ),
    ] {
        assert_eq!(api.fault("POST", all, Some(body), status).await, said);
    }
    let twice = json!({"tags": [{"name": "d"}, {"name": "d"}]});
    api.send("POST", all, Some(twice)).await.expect(409);
    // All or nothing.
    assert_eq!(names("").await, ["c"]);

    api.make(all, several).await;
    for (query, expected) in [
        ("?limit=1", &["a"][..]),
        ("?limit=1&marker=a", &["b"]),
        ("?limit=0", &[]),
        ("?sort_key=name&sort_dir=desc", &["b", "a"]),
        ("?sort_dir=asc", &["b", "a"]),
    ] {
        assert_eq!(names(query).await, expected, "{query}");
    }
    assert_eq!(
        api.fault("GET", &format!("{all}?marker=zz"), None, 404).await,
        "Could not find metadata tag zz"
    );
    api.send("GET", &format!("{all}?limit=x"), None).await.expect(400);
    api.send("GET", &format!("{all}?sort_key=foo"), None).await.expect(400);

    let renamed = api.send("PUT", &format!("{all}/a"), Some(json!({"name": "z"}))).await.expect(200).json();
    assert_eq!(renamed["name"], "z");
    api.send("PUT", &format!("{all}/z"), Some(json!({"name": "b"}))).await.expect(409);
    assert_eq!(timeless(api.get(&format!("{all}/z")).await)["name"], "z");
}

#[tokio::test]
async fn resource_types() {
    let api = Api::new().await;
    api.make(NAMESPACES, json!({"namespace": "n"})).await;
    let of_n = "/v2/metadefs/namespaces/n/resource_types";
    let made = api.make(of_n, json!({"name": "r", "prefix": "p:"})).await;
    let expected = json!({"name": "r", "prefix": "p:", "created_at": "T", "updated_at": "T"});
    assert_eq!(timeless(made), expected);
    assert_eq!(timeless(api.get(of_n).await), json!({"resource_type_associations": [expected]}));
    assert_eq!(
        api.fault("POST", of_n, Some(json!({"name": "r"})), 409).await,
        "The metadata definition resource-type association of resource-type=r to namespace=n already exists."
    );
    let said = api.fault("POST", of_n, Some(json!({"name": "s", "foo": 1})), 400).await;
    assert_eq!(
        said,
        "Provided object does not match schema 'resource_type_association': Additional properties are not allowed \
         ('foo' was unexpected)\n\nOn instance"
    );
    api.send("DELETE", &format!("{of_n}/r"), None).await.expect(204);
    let said = api.fault("DELETE", &format!("{of_n}/r"), None, 404).await;
    assert_eq!(said, "Failed to find resource type r to delete");
    // Known from now on, beside the usual ones.
    let all = api.get("/v2/metadefs/resource_types").await["resource_types"].as_array().unwrap().clone();
    let names: Vec<&str> = all.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names.last(), Some(&"r"));
    assert!(names.contains(&"OS::Nova::Flavor"), "{names:?}");
}
