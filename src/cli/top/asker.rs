//! Asks the admin interface for an overview: one connection for each question.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::super::stream::Stream;
use super::super::url::AdminUrl;
use super::overview::Overview;
use crate::limits::{HEAD_FIELDS_MAX, OVERVIEW_BYTES_MAX, TOP_PATIENCE_MS};

const READ_BYTES: usize = 64 * 1024;

/// See the module's header.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    url: AdminUrl,
}

/// Why there is no overview.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(
        "cannot reach the admin interface at {place}: {source}; does the server run, and with \
             this --admin?"
    )]
    Connect { place: String, source: io::Error },
    #[error("the admin interface at {place} did not answer: {source}")]
    Broken { place: String, source: io::Error },
    #[error("{place} is not the admin interface of a Ringwire that has an overview: {problem}")]
    Foreign { place: String, problem: String },
}

impl Asker {
    pub(super) fn new(url: AdminUrl) -> Asker {
        Asker { url }
    }

    /// Where it asks, for people.
    pub(super) fn place(&self) -> String {
        self.url.place.to_string()
    }

    pub(super) fn ask(&self) -> Result<Overview, AskError> {
        let place = || self.place();
        let deadline = Instant::now() + Duration::from_millis(TOP_PATIENCE_MS);
        let connected = Stream::connect(&self.url.place, deadline);
        let mut stream =
            connected.map_err(|source| AskError::Connect { place: place(), source })?;
        let answer = self
            .exchange(&mut stream, deadline)
            .map_err(|source| AskError::Broken { place: place(), source })?;
        overview_in(&answer).map_err(|problem| AskError::Foreign { place: place(), problem })
    }

    fn exchange(&self, stream: &mut Stream, deadline: Instant) -> io::Result<Vec<u8>> {
        stream.set_write_timeout(Duration::from_millis(TOP_PATIENCE_MS))?;
        let host = &self.url.host;
        let request =
            format!("GET /v1/overview HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let (mut answer, mut some) = (Vec::new(), vec![0; READ_BYTES]);
        loop {
            match stream.read_until(&mut some, Some(deadline)) {
                Ok(0) => return Ok(answer),
                Ok(_) if answer.len() > OVERVIEW_BYTES_MAX => {
                    return Err(io::Error::new(ErrorKind::FileTooLarge, "the answer is too long"));
                }
                Ok(read) => answer.extend_from_slice(&some[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(ErrorKind::TimedOut.into());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn overview_in(answer: &[u8]) -> Result<Overview, String> {
    let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let body = match head.parse(answer) {
        Ok(httparse::Status::Complete(end)) => &answer[end..],
        Ok(httparse::Status::Partial) => return Err("its answer is cut short".to_owned()),
        Err(error) => return Err(format!("it does not speak HTTP ({error})")),
    };
    match head.code {
        Some(200) => serde_json::from_slice(body).map_err(|error| error.to_string()),
        Some(status) => Err(format!("its answer has the status {status}")),
        None => Err("its answer has no status".to_owned()),
    }
}
