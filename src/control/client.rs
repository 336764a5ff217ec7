//! The other end of the local socket: how a `weir` command asks a running gateway.

use std::fmt;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::problem::Problem;

/// A gateway that takes longer to answer is stuck.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A running gateway, one connection for each question.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    /// Says who asks, where that matters.
    token: Option<Bearer>,
}

/// A token, shown to nobody but the gateway.
struct Bearer(Zeroizing<String>);

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer")
    }
}

/// Why a running gateway gave no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket is there, and not for this user.
    #[error(
        "the gateway's socket {} cannot be opened: {source}; run this as the user that runs the gateway",
        socket.display()
    )]
    Refused {
        /// The socket.
        socket: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The gateway went away in between, or does not speak as expected.
    #[error("the gateway on {} did not answer: {what}", socket.display())]
    NoAnswer {
        /// The socket.
        socket: PathBuf,
        /// What happened.
        what: String,
    },
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The gateway refused, and says why.
    #[error("{0}")]
    Problem(String),
}

impl Client {
    /// A client of the gateway that listens on `socket`; none when no gateway does.
    pub fn find(socket: &Path) -> Result<Option<Client>, ClientError> {
        match std::os::unix::net::UnixStream::connect(socket) {
            Ok(_) => Ok(Some(Client { socket: socket.to_owned(), token: None })),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
            Err(source) => Err(ClientError::Refused { socket: socket.to_owned(), source }),
        }
    }

    /// Asks as whoever this token is of.
    pub fn with_token(self, token: Zeroizing<String>) -> Client {
        Client { token: Some(Bearer(token)), ..self }
    }

    /// Asks for what is at `path` (with its query).
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path, Bytes::new())
    }

    /// Sends `body` to `path`.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|e| self.no_answer(e))?;
        self.ask(Method::POST, path, body.into())
    }

    /// Deletes what is at `path`.
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::DELETE, path, Bytes::new())
    }

    /// Gives every line of what is at `path` to `take`, as it comes, until there are no more, `take` says so, or the user
    /// interrupts (SIGINT, which then ends nothing else).
    pub fn lines<E: From<ClientError>>(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<ControlFlow<()>, E>,
    ) -> Result<LinesEnd, E> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| self.no_answer(e))?;
        let opened = runtime.block_on(async {
            let interrupt = signal(SignalKind::interrupt()).map_err(|e| self.no_answer(e))?;
            let (status, body) = self.send(Method::GET, path, Bytes::new()).await?;
            if status.is_success() {
                return Ok((interrupt, body));
            }
            let body = body.collect().await.map_err(|e| self.no_answer(e))?;
            Err(refusal(status, &body.to_bytes()))
        });
        let (mut interrupt, mut body) = opened?;
        let mut line = Vec::new();
        loop {
            // Left between two chunks, so that what takes the lines may ask questions of its own.
            let next = runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = interrupt.recv() => None,
                    frame = body.frame() => Some(frame),
                }
            });
            let Some(frame) = next else { return Ok(LinesEnd::Interrupted) };
            let Some(frame) = frame else { return Ok(LinesEnd::Ended) };
            let Ok(data) = frame.map_err(|e| self.no_answer(e))?.into_data() else { continue };
            for part in data.split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(part);
                if part.ends_with(b"\n") {
                    if take(&line)?.is_break() {
                        return Ok(LinesEnd::Ended);
                    }
                    line.clear();
                }
            }
        }
    }

    fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, ClientError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| self.no_answer(e))?;
        let answer = async { tokio::time::timeout(ANSWER_WITHIN, self.exchange(method, path, body)).await };
        let (status, body) = match runtime.block_on(answer) {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(self.no_answer(format!("nothing came within {} s", ANSWER_WITHIN.as_secs())));
            }
        };
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|e| self.no_answer(e));
        }
        Err(refusal(status, &body))
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        let (status, body) = self.send(method, path, body).await?;
        let body = body.collect().await.map_err(|e| self.no_answer(e))?;
        Ok((status, body.to_bytes()))
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Incoming), ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| self.no_answer(e))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.no_answer(e))?;
        // Ends by itself with the connection; what goes wrong on it also shows in the answer.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "weir")
            .header("content-type", "application/json");
        if let Some(Bearer(token)) = &self.token {
            request = request.header("authorization", format!("Bearer {}", **token));
        }
        let request = request.body(Full::new(body)).map_err(|e| self.no_answer(e))?;
        let response = sender.send_request(request).await.map_err(|e| self.no_answer(e))?;
        Ok((response.status(), response.into_body()))
    }

    fn no_answer(&self, what: impl ToString) -> ClientError {
        ClientError::NoAnswer { socket: self.socket.clone(), what: what.to_string() }
    }
}

/// How a stream of lines ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinesEnd {
    /// The gateway has no more, or the caller wants none.
    Ended,
    /// The user has seen enough.
    Interrupted,
}

/// What the gateway says instead of an answer.
fn refusal(status: StatusCode, body: &[u8]) -> ClientError {
    let problem = serde_json::from_slice::<Problem>(body);
    let detail = problem.map_or_else(|_| format!("the gateway answered {status}"), |problem| problem.detail);
    if status == StatusCode::NOT_FOUND { ClientError::NotFound(detail) } else { ClientError::Problem(detail) }
}
