//! The examples of `docs/admin.md`, run as they stand there.

use std::net::SocketAddr;

use serde_json::Value;

use crate::common::request;

const PAGE: &str = include_str!("../../docs/admin.md");
const FENCE: &str = "```";

/// A command of the page and what it shows as the answer.
pub(crate) struct Example {
    method: &'static str,
    path: &'static str,
    body: &'static str,
    answer: String,
}

/// All of the page, in its order.
pub(crate) fn examples() -> Vec<Example> {
    let blocks = PAGE.split(FENCE).filter_map(|part| part.strip_prefix("console\n$ curl -s "));
    blocks.map(example).collect()
}

fn example(block: &'static str) -> Example {
    let (command, answer) = block.split_once('\n').expect("a command is one line");
    let body = command.split_once("-d '").map(|(_, rest)| rest.split_once('\'').expect("quoted").0);
    let (_, path) = command.split_once("http://127.0.0.1:9002").expect("the default address");
    let path = path.trim_end_matches('\'');
    let method = if body.is_some() { "POST" } else { "GET" };
    assert_eq!(command.contains("-H 'Content-Type: application/json'"), body.is_some());
    Example { method, path, body: body.unwrap_or(""), answer: answer.to_owned() }
}

impl Example {
    /// The line of the page's table of routes that it belongs to.
    pub(crate) fn row(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("| `{} {path}` |", self.method)
    }

    /// Runs it. Text has to be the same; of JSON the shape: names and kinds of values.
    pub(crate) fn check(&self, admin: SocketAddr) {
        let (method, path) = (self.method, self.path);
        let response = request(admin, method, path, self.body);
        assert!(matches!(response.status, 200 | 202), "{method} {path}: {response:?}");
        match serde_json::from_str::<Value>(&self.answer) {
            Ok(shown) => assert_eq!(shape(&response.json()), shape(&shown), "{method} {path}"),
            Err(_) if self.answer.is_empty() => {}
            Err(_) => assert_eq!(response.body, self.answer, "{method} {path}"),
        }
    }
}

/// Each value's kind in its place.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(list) => list.iter().map(shape).collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "bool".into(),
        Value::Null => Value::Null,
    }
}

/// The rows of the page's table of routes.
pub(crate) fn rows() -> impl Iterator<Item = &'static str> {
    PAGE.lines().filter(|line| line.starts_with("| `GET ") || line.starts_with("| `POST "))
}
