//! `shared` images are there for their owner, for administrators and for the projects they were given to.

use pumice::model::{ImageId, ImageStatus, MemberStatus};
use serde_json::{Value, json};

use super::stage::{ADMIN, Api, MEMBER, NOBODY, OTHER, OURS, Player, READER, Stage, THEIRS};
use crate::support::Answer;

const JSON: (&str, &str) = ("accept", "application/json");

async fn call(stage: &Stage, player: Player, method: &str, path: &str, body: Option<Value>) -> Answer {
    let call = stage.call(Api::Image, player, method, path).header(JSON.0, JSON.1);
    match body {
        Some(body) => call.json(&body).send().await,
        None => call.send().await,
    }
}

/// A fault that was asked for as JSON: its text without the line breaks after it.
fn message(answer: &Answer) -> String {
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    message.replace("<br /><br />", "").trim().to_owned()
}

async fn shared(stage: &Stage) -> (ImageId, String) {
    let id = stage.image(OURS, "shared", ImageStatus::Active).await;
    let path = format!("/v2/images/{id}");
    (id, path)
}

async fn listed(stage: &Stage, player: Player, query: &str) -> usize {
    let answer = call(stage, player, "GET", &format!("/v2/images{query}"), None).await.expect(200);
    answer.json()["images"].as_array().unwrap().len()
}

#[tokio::test]
async fn an_image_is_given_accepted_and_taken_back() {
    let stage = Stage::new().await;
    let (id, image) = shared(&stage).await;
    let members = format!("{image}/members");
    let theirs = format!("{members}/{THEIRS}");
    call(&stage, OTHER, "GET", &image, None).await.expect(404);
    let made = call(&stage, MEMBER, "POST", &members, Some(json!({"member": THEIRS}))).await.expect(200);
    let member = made.json();
    let time = member["created_at"].as_str().unwrap();
    let expected = format!(
        r#"{{"member_id":"{THEIRS}","image_id":"{id}","status":"pending","created_at":"{time}","updated_at":"{time}","schema":"/v2/schemas/member"}}"#
    );
    assert_eq!(made.text(), expected);
    assert_eq!(call(&stage, OTHER, "GET", &theirs, None).await.expect(200).text(), expected);
    let list = call(&stage, OTHER, "GET", &members, None).await.expect(200);
    assert_eq!(list.text(), format!(r#"{{"members":[{expected}],"schema":"/v2/schemas/members"}}"#));

    // It is there at once, but in lists only when it was accepted.
    call(&stage, OTHER, "GET", &image, None).await.expect(200);
    call(&stage, OTHER, "GET", &format!("{image}/file"), None).await.expect(204);
    for (status, in_lists) in [("pending", 0), ("accepted", 1), ("rejected", 0)] {
        let said = call(&stage, OTHER, "PUT", &theirs, Some(json!({"status": status}))).await.expect(200);
        assert_eq!(said.json()["status"], status);
        assert_eq!(listed(&stage, OTHER, "").await, in_lists, "{status}");
        assert_eq!(listed(&stage, OTHER, "?visibility=shared").await, in_lists, "{status}");
        assert_eq!(listed(&stage, OTHER, &format!("?member_status={status}")).await, 1);
        assert_eq!(listed(&stage, OTHER, "?member_status=all").await, 1);
        assert_eq!(listed(&stage, MEMBER, "").await, 1);
        call(&stage, OTHER, "GET", &image, None).await.expect(200);
    }
    // To look is not to change.
    for (method, path) in [("DELETE", &image), ("DELETE", &theirs), ("PUT", &format!("{image}/tags/x"))] {
        call(&stage, OTHER, method, path, None).await.expect(403);
    }
    call(&stage, MEMBER, "DELETE", &theirs, None).await.expect(204);
    call(&stage, OTHER, "GET", &image, None).await.expect(404);
    call(&stage, MEMBER, "DELETE", &theirs, None).await.expect(404);
}

#[tokio::test]
async fn who_is_given_an_image_knows_of_no_other_member() {
    let stage = Stage::new().await;
    let (id, image) = shared(&stage).await;
    for project in [THEIRS, "third"] {
        stage.member(&id, project, MemberStatus::Accepted).await;
    }
    let members = format!("{image}/members");
    for (player, count) in [(READER, 2), (ADMIN, 2), (OTHER, 1)] {
        let list = call(&stage, player, "GET", &members, None).await.expect(200).json();
        assert_eq!(list["members"].as_array().unwrap().len(), count, "{}", player.name);
    }
    let third = format!("{members}/third");
    let refused = call(&stage, OTHER, "GET", &third, None).await.expect(404);
    assert_eq!(message(&refused), format!("third not found in the member list of the image {id}."));
    call(&stage, OTHER, "PUT", &third, Some(json!({"status": "rejected"}))).await.expect(404);
    call(&stage, MEMBER, "GET", &third, None).await.expect(200);
}

#[tokio::test]
async fn what_is_said_against_requests_for_members() {
    let stage = Stage::with(|config| config.images.image_member_quota = 2).await;
    let (id, image) = shared(&stage).await;
    let members = format!("{image}/members");
    let theirs = format!("{members}/{THEIRS}");
    stage.member(&id, THEIRS, MemberStatus::Pending).await;
    let nul = "The character NUL is not allowed in texts.";
    let form = "Expected a member in the form: {\"member\": \"image_id\"}";
    for (player, body, status, said) in [
        (MEMBER, json!({}), 400, "Member to be added not specified"),
        (MEMBER, json!({"member": ""}), 400, "Member can't be empty"),
        (MEMBER, json!({"member": null}), 400, "Member can't be empty"),
        (MEMBER, json!({"member": "x".repeat(256)}), 400, "Member is longer than 255 characters."),
        (MEMBER, json!({"member": "a\0"}), 400, nul),
        (MEMBER, json!({"member": 5}), 400, form),
        (MEMBER, json!([1]), 400, form),
        (MEMBER, json!({"member": THEIRS}), 409, &format!("Member {THEIRS} is duplicated for image {id}")),
        (READER, json!({"member": "x"}), 403, "You are not authorized to complete add_member action."),
        (OTHER, json!({"member": "x"}), 403, "You are not authorized to complete add_member action."),
        (NOBODY, json!({"member": "x"}), 404, "The resource could not be found."),
    ] {
        let answer = call(&stage, player, "POST", &members, Some(body)).await.expect(status);
        assert_eq!(message(&answer), said);
    }
    call(&stage, MEMBER, "POST", &members, Some(json!({"member": "x"}))).await.expect(200);
    let answer = call(&stage, MEMBER, "POST", &members, Some(json!({"member": "y"}))).await.expect(413);
    let said = "The limit has been exceeded on the number of allowed image members for this image. Attempted: 3, \
        Maximum: 2:";
    assert_eq!(message(&answer), format!("Image member limit exceeded for image {id}: {said}"));

    let statuses = "Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\".";
    for (player, body, status, said) in [
        (OTHER, json!({"status": "foo"}), 400, statuses),
        (OTHER, json!({"status": 5}), 400, statuses),
        (OTHER, json!({}), 400, "Status not specified"),
        (OTHER, json!([1]), 400, "Expected a status in the form: {\"status\": \"status\"}"),
        (
            MEMBER,
            json!({"status": "accepted"}),
            403,
            "You are not authorized to complete modify_member action.",
        ),
    ] {
        let answer = call(&stage, player, "PUT", &theirs, Some(body)).await.expect(status);
        assert_eq!(message(&answer), said);
    }
    call(&stage, MEMBER, "GET", &format!("{members}/%00"), None).await.expect(404);
    let missing = "/v2/images/zz/members";
    for (method, path, body) in [
        ("GET", missing.to_owned(), None),
        ("POST", missing.to_owned(), Some(json!({"member": "x"}))),
        ("GET", format!("{missing}/x"), None),
        ("DELETE", format!("{missing}/x"), None),
    ] {
        let answer = call(&stage, MEMBER, method, &path, body).await.expect(404);
        assert_eq!(message(&answer), "Image zz not found.");
    }
}

#[tokio::test]
async fn only_shared_images_have_members() {
    let stage = Stage::new().await;
    for visibility in ["private", "community", "public"] {
        let id = stage.image(OURS, visibility, ImageStatus::Active).await;
        stage.member(&id, THEIRS, MemberStatus::Accepted).await;
        let members = format!("/v2/images/{id}/members");
        let theirs = format!("{members}/{THEIRS}");
        for (method, path, body, status, said) in [
            (
                "GET",
                &members,
                None,
                403,
                format!("Not allowed to list members for image {id}: Only shared images have members."),
            ),
            (
                "POST",
                &members,
                Some(json!({"member": "x"})),
                403,
                format!("Not allowed to create members for image {id}."),
            ),
            ("GET", &theirs, None, 404, "Only shared images have members.".to_owned()),
            (
                "PUT",
                &theirs,
                Some(json!({"status": "accepted"})),
                403,
                format!("Not allowed to update members for image {id}."),
            ),
            ("DELETE", &theirs, None, 403, format!("Not allowed to delete members for image {id}.")),
        ] {
            let answer = call(&stage, ADMIN, method, path, body).await.expect(status);
            assert_eq!(message(&answer), said);
        }
        // What was given once does not count while the image is not shared.
        let seen = if visibility == "private" { 404 } else { 200 };
        call(&stage, OTHER, "GET", &format!("/v2/images/{id}"), None).await.expect(seen);
    }
}

#[tokio::test]
async fn a_volume_is_made_from_what_was_shared() {
    let stage = Stage::new().await;
    let (id, _) = shared(&stage).await;
    let volume = json!({"volume": {"size": 1, "imageRef": id.as_str()}});
    let create = async || {
        let call = stage.call(Api::Volume, OTHER, "POST", "/v3/volumes").version(71);
        call.json(&volume).send().await.status.as_u16()
    };
    assert_eq!(create().await, 400);
    stage.member(&id, THEIRS, MemberStatus::Pending).await;
    assert_eq!(create().await, 202);
}
