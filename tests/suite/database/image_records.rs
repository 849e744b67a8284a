//! What images have beside their bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use pumice::db::{
    Database, DbError, Direction, Image, ImageFilter, ImageMember, Location, MetadefItem, MetadefNamespace,
    MetadefNamespaceFilter, Options, Page, Repository, SortKey,
};
use pumice::jobs::{self, Origin, Task};
use pumice::model::{
    ImageId, ImageStatus, MemberStatus, MetadefItemId, MetadefKind, MetadefNamespaceId, ProjectId, Timestamp,
    World,
};
use serde_json::{Map, Value, json};
use sqlx::types::Json;
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::house::DatabaseKind;

on_both!(
    members_see_what_is_shared_with_them,
    members_go_with_their_image,
    an_id_is_used_once,
    an_id_that_becomes_free_is_not_taken,
    a_page_has_no_more_properties_than_it_may,
    an_image_remembers_where_it_is,
    images_are_found_by_any_property_and_tag,
    namespaces_hold_definitions,
    namespaces_are_listed_by_who_asks_and_what_for,
    definitions_page_in_every_order,
);

fn project(name: &str) -> ProjectId {
    ProjectId(name.to_owned())
}

fn image(number: u128, visibility: &str) -> Image {
    Image {
        id: ImageId::from(uuid::Uuid::from_u128(number)),
        project_id: Some(project("owner")),
        name: Some(format!("{visibility} {number}")),
        status: ImageStatus::Active,
        previous_status: None,
        visibility: visibility.to_owned(),
        protected: false,
        os_hidden: false,
        container_format: None,
        disk_format: None,
        size: None,
        virtual_size: None,
        checksum: None,
        os_hash_algo: None,
        os_hash_value: None,
        min_disk: 0,
        min_ram: 0,
        properties: Json(BTreeMap::new()),
        tags: Json(BTreeMap::new()),
        locations: Vec::new(),
        created_at: Timestamp(number as i64),
        updated_at: Timestamp(number as i64),
    }
}

fn member(image: &Image, name: &str, status: MemberStatus) -> ImageMember {
    let (created_at, updated_at) = (Timestamp(1), Timestamp(2));
    ImageMember { image_id: image.id.clone(), member_id: project(name), status, created_at, updated_at }
}

async fn members_see_what_is_shared_with_them(database: Database) {
    use MemberStatus::{Accepted, Pending, Rejected};
    let mut repository = database.begin().await.unwrap();
    for (number, (visibility, status)) in [
        ("shared", None),
        ("shared", Some(Pending)),
        ("shared", Some(Accepted)),
        ("shared", Some(Rejected)),
        ("private", Some(Accepted)),
        ("public", None),
    ]
    .into_iter()
    .enumerate()
    {
        let image = image(number as u128, visibility);
        repository.add_image(&image).await.unwrap();
        if let Some(status) = status {
            repository.add_image_member(&member(&image, "m", status)).await.unwrap();
        }
    }
    for (who, status, expected) in [
        ("m", Some(Accepted), &[5, 2][..]),
        ("m", Some(Pending), &[5, 1]),
        ("m", Some(Rejected), &[5, 3]),
        ("m", None, &[5, 3, 2, 1]),
        ("other", None, &[5]),
        ("owner", Some(Accepted), &[5, 4, 3, 2, 1, 0]),
    ] {
        let filter =
            ImageFilter { visible_to: Some(project(who)), member_status: status, ..ImageFilter::default() };
        let found = repository.images(&filter, &Page::default()).await.unwrap();
        let found: Vec<i64> = found.iter().map(|image| image.created_at.0).collect();
        assert_eq!(found, expected, "{who} {status:?}");
    }
}

/// SQLite has its own idea of what stands to the right of `->>`.
async fn images_are_found_by_any_property_and_tag(database: Database) {
    let keys = [
        "a",
        "",
        "$",
        "$.a",
        "$[0]",
        "$[",
        "[0]",
        "[x",
        "[]",
        "0",
        "-1",
        "a.b",
        "a b",
        "a'b",
        "\"",
        "\"a\"",
        "a\"b",
        "a\\",
        "\\\"",
        "\\u0061",
        "\n",
        "\u{1}",
        "\u{7f}",
        "é",
        "\u{1f30b}",
    ];
    let mut repository = database.begin().await.unwrap();
    for (number, key) in keys.iter().enumerate() {
        let mut image = image(number as u128, "public");
        image.properties.insert((*key).to_owned(), "x".to_owned());
        image.tags.insert((*key).to_owned(), true);
        repository.add_image(&image).await.unwrap();
    }
    for (number, key) in keys.iter().enumerate() {
        let with_property = |value: &str| ImageFilter {
            properties: vec![((*key).to_owned(), value.to_owned())],
            ..ImageFilter::default()
        };
        let with_tag = ImageFilter { tags: vec![(*key).to_owned()], ..ImageFilter::default() };
        for (filter, expected) in [
            (with_property("x"), &[number as i64][..]),
            (with_property("y"), &[]),
            (with_tag, &[number as i64]),
        ] {
            let found = repository.images(&filter, &Page::default()).await.unwrap();
            let found: Vec<i64> = found.iter().map(|image| image.created_at.0).collect();
            assert_eq!(found, expected, "{key:?}: {filter:?}");
        }
    }
}

/// However many an image may have.
async fn a_page_has_no_more_properties_than_it_may(database: Database) {
    let mut repository = database.begin().await.unwrap();
    for number in 0..5 {
        let mut image = image(number, "public");
        image.properties.insert("heavy".to_owned(), "x".repeat(1000));
        repository.add_image(&image).await.unwrap();
    }
    for (bytes, limit, expected) in [
        (10_000, None, (&[4, 3, 2, 1, 0][..], false)),
        (2_500, None, (&[4, 3], true)),
        (2_500, Some(2), (&[4, 3], false)),
        (10, None, (&[4], true)),
        (10, Some(1), (&[4], false)),
    ] {
        let page = Page { limit, ..Page::default() };
        let (found, is_cut) = repository.images_within(&ImageFilter::default(), &page, bytes).await.unwrap();
        let found: Vec<i64> = found.iter().map(|image| image.created_at.0).collect();
        assert_eq!((&found[..], is_cut), expected, "{bytes} {limit:?}");
        // Whatever was not read is in nobody's way.
        assert_eq!(repository.images(&ImageFilter::default(), &Page::default()).await.unwrap().len(), 5);
    }
}

async fn an_image_remembers_where_it_is(database: Database) {
    let mut repository = database.begin().await.unwrap();
    let (here, other) = (image(1, "shared"), image(2, "shared"));
    for image in [&here, &other] {
        repository.add_image(image).await.unwrap();
    }
    let second = Location::new(&here.id, Some("second"), Some("rbd://a/b/c/snap".to_owned()));
    let web = Location::new(&here.id, Some("web"), Some("https://example.com/x".to_owned()));
    for location in [&Location::new(&here.id, None, None), &second.awaited(), &web] {
        repository.add_location(location).await.unwrap();
    }
    let found = repository.images(&ImageFilter::default(), &Page::default()).await.unwrap();
    let counts: Vec<usize> = found.iter().map(|image| image.locations.len()).collect();
    assert_eq!(counts, [0, 3]);
    let found = repository.image(&here.id).await.unwrap().unwrap();
    let stores: Vec<_> =
        found.locations.iter().map(|place| (place.position, place.store.as_deref())).collect();
    assert_eq!(stores, [(0, None), (1, Some("second")), (2, Some("web"))]);
    let ready = |image: &Image| -> Vec<i64> { image.places().map(|place| place.position).collect() };
    assert_eq!(ready(&found), [0, 2]);

    assert!(repository.ready_location(&here.id, Some("second"), true).await.unwrap());
    assert!(repository.ready_location(&here.id, None, false).await.unwrap());
    assert!(!repository.ready_location(&here.id, Some("third"), true).await.unwrap());
    repository.set_location(&here.id, None, Some("rbd://a/d/e/snap")).await.unwrap();
    let found = repository.image_to_change(&here.id).await.unwrap().unwrap();
    assert_eq!(ready(&found), [1, 2]);
    assert_eq!(found.locations[0].url.as_deref(), Some("rbd://a/d/e/snap"));

    repository.forget_snapshots(&here.id).await.unwrap();
    let found = repository.image(&here.id).await.unwrap().unwrap();
    let urls: Vec<_> = found.locations.iter().map(|place| place.url.as_deref()).collect();
    assert_eq!(urls, [None, None, Some("https://example.com/x")]);
    repository.remove_unready_locations(&here.id).await.unwrap();
    repository.remove_location(&here.id, Some("web")).await.unwrap();
    let found = repository.image(&here.id).await.unwrap().unwrap();
    assert_eq!(ready(&found), [1]);

    let metadata = BTreeMap::from([("zone".to_owned(), json!(["a", {"b": "c"}]))]);
    let mut given: Vec<Location> = found.places().cloned().collect();
    given.insert(0, web.with_metadata(metadata.clone()));
    repository.set_locations(&here.id, &given).await.unwrap();
    let found = repository.image(&here.id).await.unwrap().unwrap();
    let places: Vec<_> =
        found.places().map(|place| (place.position, place.store.as_deref(), place.metadata())).collect();
    assert_eq!(places, [(0, Some("web"), metadata), (1, Some("second"), BTreeMap::new())]);
    assert!(repository.remove_image(&here.id).await.unwrap());
}

async fn members_go_with_their_image(database: Database) {
    let mut repository = database.begin().await.unwrap();
    let image = image(1, "shared");
    repository.add_image(&image).await.unwrap();
    let one = member(&image, "one", MemberStatus::Pending);
    let two = member(&image, "two", MemberStatus::Rejected);
    repository.add_image_member(&two).await.unwrap();
    repository.add_image_member(&one).await.unwrap();
    assert_eq!(repository.image_members(&image.id).await.unwrap(), [one.clone(), two.clone()]);
    assert_eq!(repository.count_image_members(&image.id).await.unwrap(), 2);
    let (status, now) = (MemberStatus::Accepted, Timestamp(3));
    assert!(repository.set_image_member_status(&image.id, &project("one"), status, now).await.unwrap());
    assert!(!repository.set_image_member_status(&image.id, &project("none"), status, now).await.unwrap());
    let found = repository.image_member(&image.id, &project("one")).await.unwrap();
    assert_eq!(found, Some(ImageMember { status, updated_at: now, ..one }));
    assert!(repository.remove_image_member(&image.id, &project("two")).await.unwrap());
    assert!(!repository.remove_image_member(&image.id, &project("two")).await.unwrap());
    repository.remove_image(&image.id).await.unwrap();
    assert_eq!(repository.count_image_members(&image.id).await.unwrap(), 0);
    repository.commit().await.unwrap();

    let mut repository = database.begin().await.unwrap();
    let orphan = repository.add_image_member(&two).await;
    assert!(matches!(orphan, Err(DbError::Reference)), "{orphan:?}");
    drop(repository);
    let mut repository = database.begin().await.unwrap();
    let image = self::image(2, "shared");
    let two = member(&image, "two", MemberStatus::Rejected);
    repository.add_image(&image).await.unwrap();
    repository.add_image_member(&two).await.unwrap();
    let again = repository.add_image_member(&two).await;
    assert!(matches!(again, Err(DbError::Exists)), "{again:?}");
}

/// Also of one that never had bytes; but not of one that never was.
async fn an_id_is_used_once(database: Database) {
    let (gone, never) = (image(1, "shared"), image(2, "shared"));
    let mut repository = database.begin().await.unwrap();
    repository.add_image(&gone).await.unwrap();
    repository.commit().await.unwrap();
    let mut repository = database.begin().await.unwrap();
    repository.add_image(&never).await.unwrap();
    drop(repository);
    let mut repository = database.begin().await.unwrap();
    assert!(repository.remove_image(&gone.id).await.unwrap());
    assert!(!repository.remove_image(&gone.id).await.unwrap());
    assert!(!repository.remove_image(&never.id).await.unwrap());
    repository.commit().await.unwrap();

    let mut repository = database.begin().await.unwrap();
    let again = repository.add_image(&gone).await;
    assert!(matches!(again, Err(DbError::Exists)), "{again:?}");
    drop(repository);
    let mut repository = database.begin().await.unwrap();
    assert!(repository.image(&gone.id).await.unwrap().is_none());
    repository.add_image(&never).await.unwrap();
}

/// Whoever asks for the id while its image goes waits, and does not get it.
async fn an_id_that_becomes_free_is_not_taken(database: Database) {
    let gone = image(1, "shared");
    let mut repository = database.begin().await.unwrap();
    repository.add_image(&gone).await.unwrap();
    repository.commit().await.unwrap();
    let mut removal = database.begin().await.unwrap();
    assert!(removal.remove_image(&gone.id).await.unwrap());
    let again = tokio::spawn(async move { database.begin().await.unwrap().add_image(&gone).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    removal.commit().await.unwrap();
    let again = again.await.unwrap();
    assert!(matches!(again, Err(DbError::Exists)), "{again:?}");
}

/// Of images that went before their ids were kept the jobs tell.
#[tokio::test(flavor = "multi_thread")]
async fn ids_that_were_used_before_are_filled_in() {
    const MIGRATION: &str = include_str!("../../../migrations/0025_used_image_ids.sql");
    let fill = &MIGRATION[MIGRATION.find("INSERT").unwrap()..];
    let world = World::real();
    let (here, gone) = (image(1, "shared"), image(2, "shared"));
    for kind in [DatabaseKind::Sqlite, DatabaseKind::Postgres] {
        let (url, _keep) = kind.migrated_url().await;
        let options = Options { url: url.clone(), max_connections: 2, timeout: Duration::from_secs(60) };
        let database = Database::open(&options).await.unwrap();
        let mut repository = database.begin().await.unwrap();
        repository.add_image(&here).await.unwrap();
        for image in [&here, &gone, &gone] {
            let task = Task::SealImage { image_id: image.id.clone() };
            jobs::enqueue(&mut repository, &world, task, &Origin::default()).await.unwrap();
        }
        repository.commit().await.unwrap();
        let filled = match kind {
            DatabaseKind::Sqlite => {
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(fill).execute(&mut connection).await.unwrap().rows_affected()
            }
            DatabaseKind::Postgres => {
                let mut connection = PgConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(fill).execute(&mut connection).await.unwrap().rows_affected()
            }
        };
        assert_eq!(filled, 1);
        let again = database.begin().await.unwrap().add_image(&gone).await;
        assert!(matches!(again, Err(DbError::Exists)), "{kind:?}: {again:?}");
    }
}

fn namespace(number: u128, name: &str, visibility: &str) -> MetadefNamespace {
    MetadefNamespace {
        id: MetadefNamespaceId::from(uuid::Uuid::from_u128(number)),
        name: name.to_owned(),
        display_name: Some("naïve \u{1F980}".to_owned()),
        description: None,
        visibility: visibility.to_owned(),
        protected: true,
        project_id: Some(project("owner")),
        created_at: Timestamp(number as i64),
        updated_at: Timestamp(number as i64),
    }
}

fn item(
    number: u128,
    of: &MetadefNamespace,
    kind: MetadefKind,
    name: &str,
    definition: Value,
) -> MetadefItem {
    let Value::Object(definition) = definition else { panic!("{definition} is no object") };
    MetadefItem {
        id: MetadefItemId::from(uuid::Uuid::from_u128(number)),
        namespace_id: of.id.clone(),
        kind,
        name: name.to_owned(),
        definition: Json(definition),
        created_at: Timestamp(number as i64),
        updated_at: Timestamp(number as i64),
    }
}

async fn names(
    repository: &mut Repository,
    of: &MetadefNamespace,
    kind: MetadefKind,
    page: &Page,
) -> Vec<String> {
    let items = repository.metadef_items(std::slice::from_ref(&of.id), kind, page).await.unwrap();
    items.into_iter().map(|item| item.name).collect()
}

async fn namespaces_hold_definitions(database: Database) {
    use MetadefKind::{Object, Property, ResourceType, Tag};
    let mut repository = database.begin().await.unwrap();
    let mut space = namespace(1, "n", "public");
    repository.add_metadef_namespace(&space).await.unwrap();
    assert_eq!(repository.metadef_namespace("n").await.unwrap(), Some(space.clone()));
    space.name = "other".to_owned();
    space.display_name = None;
    space.protected = false;
    space.updated_at = Timestamp(9);
    assert!(repository.update_metadef_namespace(&space).await.unwrap());
    assert_eq!(repository.metadef_namespace("n").await.unwrap(), None);
    assert_eq!(repository.metadef_namespace_to_change("other").await.unwrap(), Some(space.clone()));

    let definition =
        json!({"title": "T", "type": "integer", "minimum": 1.5, "enum": ["a", "é"], "default": null});
    let mut property = item(1, &space, Property, "p", definition);
    repository.add_metadef_item(&property).await.unwrap();
    for (number, kind) in [(2, Object), (3, Tag), (4, ResourceType)] {
        repository.add_metadef_item(&item(number, &space, kind, "p", json!({}))).await.unwrap();
    }
    let found = repository.metadef_item(&space.id, Property, "p").await.unwrap().unwrap();
    assert_eq!(found, property);
    property.name = "q".to_owned();
    property.definition = Json(Map::new());
    assert!(repository.update_metadef_item(&property).await.unwrap());
    assert_eq!(names(&mut repository, &space, Property, &Page::default()).await, ["q"]);
    let types = repository.metadef_resource_types().await.unwrap();
    assert!(types.iter().any(|one| one.name == "p" && one.created_at == Timestamp(4)), "{types:?}");
    assert!(types.iter().any(|one| one.name == "OS::Glance::Image"), "{types:?}");

    repository.remove_metadef_items(&space.id, Tag).await.unwrap();
    assert_eq!(names(&mut repository, &space, Tag, &Page::default()).await, [""; 0]);
    assert!(repository.remove_metadef_item(&property.id).await.unwrap());
    assert!(!repository.remove_metadef_item(&property.id).await.unwrap());
    assert!(!repository.update_metadef_item(&property).await.unwrap());
    repository.commit().await.unwrap();

    let mut repository = database.begin().await.unwrap();
    let again = repository.add_metadef_namespace(&namespace(2, "other", "public")).await;
    assert!(matches!(again, Err(DbError::Exists)), "{again:?}");
    drop(repository);
    let mut repository = database.begin().await.unwrap();
    let again = repository.add_metadef_item(&item(5, &space, Object, "p", json!({}))).await;
    assert!(matches!(again, Err(DbError::Exists)), "{again:?}");
    drop(repository);

    let mut repository = database.begin().await.unwrap();
    assert!(repository.remove_metadef_namespace(&space.id).await.unwrap());
    assert!(!repository.remove_metadef_namespace(&space.id).await.unwrap());
    assert_eq!(names(&mut repository, &space, Object, &Page::default()).await, [""; 0]);
    let types = repository.metadef_resource_types().await.unwrap();
    assert!(types.iter().any(|one| one.name == "p"), "a type outlives the namespace: {types:?}");
}

async fn namespaces_are_listed_by_who_asks_and_what_for(database: Database) {
    let mut repository = database.begin().await.unwrap();
    let public = namespace(1, "public", "public");
    let private = namespace(2, "private", "private");
    for space in [&public, &private] {
        repository.add_metadef_namespace(space).await.unwrap();
    }
    for (number, space, name) in [(1, &public, "r"), (2, &private, "r"), (3, &private, "s")] {
        let association = item(number, space, MetadefKind::ResourceType, name, json!({}));
        repository.add_metadef_item(&association).await.unwrap();
    }
    // A tag is no resource type.
    repository.add_metadef_item(&item(4, &public, MetadefKind::Tag, "s", json!({}))).await.unwrap();
    let types = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    for (visible_to, visibility, resource_types, expected) in [
        (None, None, None, &["private", "public"][..]),
        (Some("owner"), None, None, &["private", "public"]),
        (Some("other"), None, None, &["public"]),
        (None, Some("private"), None, &["private"]),
        (Some("other"), Some("private"), None, &[]),
        (None, None, types(&["r", "x"]), &["private", "public"]),
        (None, None, types(&["s"]), &["private"]),
        (Some("other"), Some("public"), types(&["s", "r"]), &["public"]),
        (None, None, types(&[]), &[]),
    ] {
        let filter = MetadefNamespaceFilter {
            visibility: visibility.map(str::to_owned),
            visible_to: visible_to.map(project),
            resource_types,
        };
        let found = repository.metadef_namespaces(&filter, &Page::default()).await.unwrap();
        let found: Vec<String> = found.into_iter().map(|space| space.name).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

async fn definitions_page_in_every_order(database: Database) {
    let mut repository = database.begin().await.unwrap();
    let space = namespace(1, "n", "public");
    let other = namespace(2, "other", "public");
    for space in [&space, &other] {
        repository.add_metadef_namespace(space).await.unwrap();
    }
    for (number, name) in [(1, "c"), (2, "a"), (3, "d"), (4, "b")] {
        repository.add_metadef_item(&item(number, &space, MetadefKind::Tag, name, json!({}))).await.unwrap();
    }
    repository.add_metadef_item(&item(5, &other, MetadefKind::Tag, "a", json!({}))).await.unwrap();
    for (column, direction, expected) in [
        ("name", Direction::Ascending, ["a", "b", "c", "d"]),
        ("name", Direction::Descending, ["d", "c", "b", "a"]),
        ("created_at", Direction::Ascending, ["c", "a", "d", "b"]),
        ("updated_at", Direction::Descending, ["b", "d", "a", "c"]),
    ] {
        let mut found = Vec::new();
        let mut page = Page { sort: vec![SortKey { column, direction }], limit: Some(3), ..Page::default() };
        for _ in 0..2 {
            let of = std::slice::from_ref(&space.id);
            let items = repository.metadef_items(of, MetadefKind::Tag, &page).await.unwrap();
            page.marker = items.last().map(|item| item.id.to_string());
            found.extend(items.into_iter().map(|item| item.name));
        }
        assert_eq!(found, expected, "{column} {direction:?}");
    }
}
