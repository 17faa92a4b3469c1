//! Answers that bollard does not read: asked for as plain text, over a connection of their own.

use std::io;

use bollard::errors::Error as Api;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

use super::host::LIMIT;

/// A thousand containers take less.
const LONGEST: u64 = 32 << 20;

/// The body of the engine's answer at `url`, which is ASCII without blanks.
pub(super) async fn get(socket: &str, url: &str) -> Result<String, Api> {
    let answer = timeout(LIMIT, ask(socket, url)).await.map_err(|_| Api::RequestTimeoutError)??;
    body(&answer)
}

/// In HTTP 1.0 an answer ends with the connection and comes in one piece.
async fn ask(socket: &str, url: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(format!("GET {url} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// What is answered; any other status than 200 is an error, as bollard has it.
fn body(answer: &str) -> Result<String, Api> {
    let cut = || Api::from(io::Error::from(io::ErrorKind::UnexpectedEof));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
    match head.split(' ').nth(1).and_then(|status| status.parse().ok()) {
        Some(200) => Ok(body.to_owned()),
        Some(status_code) => Err(Api::DockerResponseServerError { status_code, message: message(body) }),
        None => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
    }
}

/// Why the engine refuses, in its words.
fn message(body: &str) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    serde_json::from_str(body).map_or_else(|_| body.to_owned(), |Refusal { message }| message)
}

/// What the engine says at `url` of containers, with states as Docker calls them.
///
/// Podman says `stopped` of one that has ended and is not cleaned up, which is a moment, or for ever if who should do that
/// was killed. bollard refuses the whole answer then.
pub(super) async fn containers<T: DeserializeOwned>(socket: &str, url: &str) -> Result<T, Api> {
    Ok(serde_json::from_str(&as_docker_says(&get(socket, url).await?))?)
}

/// No text inside of a string looks like this: its quotes have a backslash before them.
fn as_docker_says(json: &str) -> String {
    let mut json = json.to_owned();
    for key in ["Status", "State"] {
        for (podman, docker) in [("stopped", "exited"), ("configured", "created"), ("initialized", "created")]
        {
            json = json.replace(&format!(r#""{key}":"{podman}""#), &format!(r#""{key}":"{docker}""#));
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::{super::error::is_status, *};

    #[test]
    fn states_that_docker_does_not_know_become_those_that_it_has() {
        let said = r#"{"State":{"Status":"stopped"},"Labels":{"a":"\"State\":\"stopped\""}}"#;
        let meant = r#"{"State":{"Status":"exited"},"Labels":{"a":"\"State\":\"stopped\""}}"#;
        assert_eq!(as_docker_says(said), meant);
        assert_eq!(as_docker_says(r#"[{"State":"configured"}]"#), r#"[{"State":"created"}]"#);
    }
    #[test]
    fn a_refusal_is_no_answer() {
        assert_eq!(body("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}").expect("an answer"), "{}");
        // Podman, of a container that was removed since it was asked for the first time
        let gone = r#"{"cause":"no such container","message":"no container with ID 1","response":404}"#;
        let gone = body(&format!("HTTP/1.0 404 Not Found\r\n\r\n{gone}")).expect_err("a refusal");
        assert!(is_status(&gone, 404) && gone.to_string().contains("no container with ID 1"), "{gone}");
        let refused = body("HTTP/1.0 403 Forbidden\r\n\r\n<html>").expect_err("a refusal");
        assert!(is_status(&refused, 403) && refused.to_string().contains("<html>"), "{refused}");
    }

    #[test]
    fn what_is_cut_off_or_not_http_is_no_answer() {
        for answer in ["", "HTTP/1.0 200 OK\r\n", "200\r\n\r\n{}", "HTTP/1.0 OK\r\n\r\n{}"] {
            assert!(body(answer).is_err(), "{answer:?}");
        }
    }
}
