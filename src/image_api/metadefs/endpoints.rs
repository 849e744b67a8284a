//! The endpoints that differ by names alone. A kind says where they are and which rules stand before them; it has a
//! `parse` and a `view` of its own, and imports what handlers need.

/// `update`: another one in place of the one that is there.
macro_rules! update {
    ($kind:ident at $one:literal ($variable:literal), by $rule:ident, as $body:ident) => {
        /// Puts another one in its place.
        #[utoipa::path(
            put, path = $one, tag = "metadefs", operation_id = concat!("update_metadef_", $variable),
            params(
                ("namespace" = String, Path, description = "Name of the namespace"),
                ($variable = String, Path, description = "Its name until now"),
            ),
            request_body(content = Object, description = "See the schema, `/v2/schemas/metadefs/...`"),
            responses(
                (status = 200, description = "The new one", body = $body),
                (status = 400, description = "The body does not fit the schema", body = FaultBody),
                (status = 403, description = "The policy does not allow it", body = FaultBody),
                (status = 404, description = "There is no such namespace, or nothing of the name in it",
                    body = FaultBody),
                (status = 409, description = "The new name is taken", body = FaultBody),
            )
        )]
        pub async fn update(
            State(app): State<App>,
            call: Call,
            InPath((namespace, name)): InPath<(String, String)>,
            JsonBody(body): JsonBody,
        ) -> Result<Json<View>> {
            let (draft, place) = (parse(body)?, (namespace.as_str(), name.as_str()));
            let (namespace, item) = items::update(&app, &call, place, $kind, rules::$rule, draft).await?;
            Ok(Json(view(&namespace, item)))
        }
    };
}

/// `delete`: one by its name.
macro_rules! delete {
    ($kind:ident at $one:literal ($variable:literal), by $rule:ident) => {
        /// Deletes one.
        #[utoipa::path(
            delete, path = $one, tag = "metadefs", operation_id = concat!("delete_metadef_", $variable),
            params(
                ("namespace" = String, Path, description = "Name of the namespace"),
                ($variable = String, Path, description = "Its name"),
            ),
            responses(
                (status = 204, description = "It is deleted"),
                (status = 400, description = "A body came with the request", body = FaultBody),
                (status = 403, description = "The namespace is protected, or the policy does not allow it",
                    body = FaultBody),
                (status = 404, description = "There is no such namespace, or nothing of the name in it",
                    body = FaultBody),
            )
        )]
        pub async fn delete(
            State(app): State<App>,
            call: Call,
            InPath((namespace, name)): InPath<(String, String)>,
            _: NoBody,
        ) -> Result<StatusCode> {
            items::delete(&app, &call, (&namespace, &name), $kind, rules::$rule).await?;
            Ok(StatusCode::NO_CONTENT)
        }
    };
}

/// `delete_all`: all in a namespace.
macro_rules! delete_all {
    ($kind:ident at $all:literal ($several:literal)) => {
        /// Deletes all of a namespace.
        #[utoipa::path(
            delete, path = $all, tag = "metadefs", operation_id = concat!("delete_metadef_", $several),
            params(("namespace" = String, Path, description = "Name of the namespace")),
            responses(
                (status = 204, description = "There are none any more"),
                (status = 400, description = "A body came with the request", body = FaultBody),
                (status = 403, description = "The namespace is protected, or the policy does not allow it",
                    body = FaultBody),
                (status = 404, description = "There is no such namespace", body = FaultBody),
            )
        )]
        pub async fn delete_all(
            State(app): State<App>,
            call: Call,
            InPath(namespace): InPath<String>,
            _: NoBody,
        ) -> Result<StatusCode> {
            items::delete_all(&app, &call, &namespace, $kind).await?;
            Ok(StatusCode::NO_CONTENT)
        }
    };
}

pub(super) use {delete, delete_all, update};
