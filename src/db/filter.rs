//! Conditions, order and pages of lists, put together from checked parts: a column name never comes from a request.

use futures::{Stream, TryStreamExt};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArgumentBuffer;
use sqlx::sqlite::SqliteArgumentsBuffer;
use sqlx::{Encode, Postgres, Sqlite, Type};

/// Conditions that may stand in a row.
const FEW: usize = 16;

/// What is bound to a placeholder.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    Key(JsonKey),
}

/// What stands to the right of `->>`: any text at all, and the name of a member of a JSON object.
///
/// PostgreSQL takes it as it is. SQLite takes it for a path when it looks like one, and one that is none (`a"b`, `$[`,
/// nothing) for an error, so there it is written as a path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonKey(pub String);

impl Type<Postgres> for JsonKey {
    fn type_info() -> <Postgres as sqlx::Database>::TypeInfo {
        <String as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for JsonKey {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&str as Encode<Postgres>>::encode(&self.0, buffer)
    }
}

impl Type<Sqlite> for JsonKey {
    fn type_info() -> <Sqlite as sqlx::Database>::TypeInfo {
        <String as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for JsonKey {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        let label = serde_json::to_string(&self.0)?;
        <String as Encode<Sqlite>>::encode(format!("$.{label}"), buffer)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    fn as_sql(self) -> &'static str {
        match self {
            Operator::Equal => "=",
            Operator::NotEqual => "<>",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

/// A column to sort by; the database's own name of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    pub column: &'static str,
    pub direction: Direction,
}

/// Which part of a list is wanted, in which order.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Empty: newest first.
    pub sort: Vec<SortKey>,
    /// The id of the last row of the page before.
    pub marker: Option<String>,
    /// `None`: all of them.
    pub limit: Option<i64>,
    pub offset: i64,
}

/// `WHERE ... ORDER BY ... LIMIT ...` with its values, growing.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    parts: Vec<String>,
    pub(super) values: Vec<Value>,
}

impl Conditions {
    /// The next placeholder, bound to `value`.
    pub(super) fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// As [`Conditions::bind`], for the right of `->>`.
    pub(super) fn bind_key(&mut self, key: &str) -> String {
        self.bind(Value::Key(JsonKey(key.to_owned())))
    }

    pub(super) fn push(&mut self, condition: impl Into<String>) {
        self.parts.push(condition.into());
    }

    pub(super) fn compare(&mut self, column: &str, operator: Operator, value: Value) {
        let placeholder = self.bind(value);
        self.push(format!("{column} {} {placeholder}", operator.as_sql()));
    }

    pub(super) fn text(&mut self, column: &str, value: &Option<String>) {
        if let Some(text) = value {
            self.compare(column, Operator::Equal, Value::Text(text.clone()));
        }
    }

    /// One of these; none of them when the list is empty.
    pub(super) fn one_of<T: ToString>(&mut self, column: &str, values: &Option<Vec<T>>) {
        if let Some(values) = values {
            let among = self.among(column, values);
            self.push(among);
        }
    }

    /// The same as a condition to put somewhere else.
    pub(super) fn among<T: ToString>(&mut self, column: &str, values: &[T]) -> String {
        if values.is_empty() {
            return "1 = 0".to_owned();
        }
        let placeholders: Vec<String> =
            values.iter().map(|v| self.bind(Value::Text(v.to_string()))).collect();
        format!("{column} IN ({})", placeholders.join(", "))
    }

    /// Key and text both equal, in one of these JSON columns.
    pub(super) fn json(&mut self, columns: &[&str], pairs: &[(String, String)]) {
        for (key, value) in pairs {
            let key = self.bind_key(key);
            let value = self.bind(Value::Text(value.clone()));
            let any: Vec<_> =
                columns.iter().map(|column| format!("({column} ->> {key}) = {value}")).collect();
            self.push(format!("({})", any.join(" OR ")));
        }
    }

    /// The text somewhere in it, whatever the case; `%` and `_` stand for others as in SQL.
    pub(super) fn like(&mut self, column: &str, text: &str) {
        let pattern = self.bind(Value::Text(format!("%{}%", text.replace('\\', "\\\\"))));
        self.push(format!("LOWER(CAST({column} AS TEXT)) LIKE LOWER({pattern}) ESCAPE '\\'"));
    }

    /// `<host>@<backend>#<pool>`, or only the first of them. The case matters, which `LIKE` knows on one engine only.
    pub(super) fn host(&mut self, column: &str, host: &str) {
        let mut alternatives = vec![format!("{column} = {}", self.bind(Value::Text(host.to_owned())))];
        for separator in ["@", "#"] {
            if !host.contains('#') && !host.contains(separator) {
                let length = host.chars().count() + separator.len();
                let beginning = self.bind(Value::Text(format!("{host}{separator}")));
                alternatives.push(format!("SUBSTR({column}, 1, {length}) = {beginning}"));
            }
        }
        self.push(format!("({})", alternatives.join(" OR ")));
    }

    /// After the marker's row in the order of `sort`, by comparing with that row itself.
    /// Rows without a value come first, as in both engines when told so.
    fn after_marker(&mut self, table: &str, sort: &[SortKey], marker: &str) {
        let marker = self.bind(Value::Text(marker.to_owned()));
        let of_marker = |column: &str| format!("(SELECT {column} FROM {table} WHERE id = {marker})");
        let mut alternatives = Vec::new();
        for (i, key) in sort.iter().enumerate() {
            let mut all: Vec<String> = sort[..i]
                .iter()
                .map(|k| format!("{0} IS NOT DISTINCT FROM {1}", k.column, of_marker(k.column)))
                .collect();
            let (column, there) = (key.column, of_marker(key.column));
            all.push(match key.direction {
                Direction::Ascending => {
                    format!("({column} > {there} OR ({there} IS NULL AND {column} IS NOT NULL))")
                }
                Direction::Descending => {
                    format!("({column} < {there} OR ({column} IS NULL AND {there} IS NOT NULL))")
                }
            });
            alternatives.push(format!("({})", all.join(" AND ")));
        }
        self.push(format!("({})", alternatives.join(" OR ")));
    }

    fn where_clause(&self) -> String {
        if self.parts.is_empty() { String::new() } else { format!(" WHERE {}", all_of(&self.parts)) }
    }

    /// The whole query of a list without pages.
    pub(super) fn select(&self, columns: &str, table: &str, order: &str) -> String {
        format!("SELECT {columns} FROM {table}{} ORDER BY {order}", self.where_clause())
    }

    pub(super) fn count(&self, table: &str) -> String {
        self.all("COUNT(*)", table)
    }

    /// In no order.
    pub(super) fn all(&self, columns: &str, table: &str) -> String {
        format!("SELECT {columns} FROM {table}{}", self.where_clause())
    }

    /// The whole query of a page. `id` is added as the last sort key, so that the order is total.
    pub(super) fn page(&mut self, columns: &str, table: &str, page: &Page) -> String {
        let newest = |column| SortKey { column, direction: Direction::Descending };
        let mut sort = page.sort.clone();
        if !sort.iter().any(|k| k.column == "created_at") {
            sort.push(newest("created_at"));
        }
        if !sort.iter().any(|k| k.column == "id") {
            sort.push(newest("id"));
        }
        if let Some(marker) = &page.marker {
            self.after_marker(table, &sort, marker);
        }
        let order: Vec<String> = sort
            .iter()
            .map(|key| match key.direction {
                // Never null, and told so the indexes would not fit.
                _ if key.column == "id" || key.column == "created_at" => plain_order(key),
                Direction::Ascending => format!("{} ASC NULLS FIRST", key.column),
                Direction::Descending => format!("{} DESC NULLS LAST", key.column),
            })
            .collect();
        let mut query =
            format!("SELECT {columns} FROM {table}{} ORDER BY {}", self.where_clause(), order.join(", "));
        if page.limit.is_some() || page.offset > 0 {
            let limit = self.bind(Value::Integer(page.limit.unwrap_or(i64::MAX)));
            let offset = self.bind(Value::Integer(page.offset));
            // SQLite plans by a placeholder that is the whole limit, and so prepares the statement anew each time.
            query.push_str(&format!(" LIMIT CAST({limit} AS BIGINT) OFFSET {offset}"));
        }
        query
    }
}

/// The first rows, as many as have at most so many bytes of what grows, but one at the least; and whether that left any
/// out. Reads no further than that.
pub(super) async fn first_within<T>(
    mut rows: impl Stream<Item = sqlx::Result<T>> + Unpin,
    bytes: usize,
    size: impl Fn(&T) -> usize,
) -> sqlx::Result<(Vec<T>, bool)> {
    let (mut first, mut sum) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        sum += size(&row);
        if sum > bytes && !first.is_empty() {
            return Ok((first, true));
        }
        first.push(row);
    }
    Ok((first, false))
}

/// In brackets by halves: SQLite refuses what is nested deeper than 1000, and takes a plain row of `AND` for nested.
fn all_of(parts: &[String]) -> String {
    if parts.len() <= FEW {
        return parts.join(" AND ");
    }
    let (first, second) = parts.split_at(parts.len() / 2);
    format!("({}) AND ({})", all_of(first), all_of(second))
}

fn plain_order(key: &SortKey) -> String {
    match key.direction {
        Direction::Ascending => format!("{} ASC", key.column),
        Direction::Descending => format!("{} DESC", key.column),
    }
}
