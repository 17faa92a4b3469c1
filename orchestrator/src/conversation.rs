//! Talks with an agent: tells it the spec, and listens until the target answers.

use futures_util::StreamExt as _;
use landfall_api::Spec;
use tokio::io::AsyncWriteExt as _;

use crate::{
    agent_stream::{AgentStream, Noise},
    docker::{Attached, DockerError, Written},
    error::Error,
    progress::Progress,
    state::AgentState,
};

/// What an agent has said so far.
pub struct Conversation {
    attached: Attached,
    stream: AgentStream,
    /// All its reports together.
    pub state: AgentState,
}

/// How listening ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The target answers.
    Answers,
    /// The agent is not content with what it was told, and says so in a warning.
    Warned,
    /// The agent ended.
    Silence,
}

impl Conversation {
    /// Listens to an agent that has reported `state` before.
    pub fn new(attached: Attached, state: AgentState) -> Self {
        Self { attached, stream: AgentStream::default(), state: AgentState { warning: None, ..state } }
    }

    /// Tells the agent what to do.
    ///
    /// # Errors
    /// If it does not listen.
    pub async fn tell(&mut self, spec: &Spec) -> Result<(), Error> {
        let document = format!("---\n{}...\n", spec.to_yaml());
        let written = self.attached.input.write_all(document.as_bytes()).await;
        written.map_err(|error| Error::Io("write the spec to the agent", error))?;
        self.attached.input.flush().await.map_err(|error| Error::Io("write the spec to the agent", error))
    }

    /// Listens until the target answers as `spec` wants it, or it is clear that it will not.
    ///
    /// # Errors
    /// If Docker ends the connection.
    pub async fn listen(&mut self, spec: &Spec, progress: &Progress) -> Result<Ending, DockerError> {
        loop {
            if self.state.answers(spec.forward()) {
                return Ok(Ending::Answers);
            }
            // Rules in force that are not those wanted: what is warned of is the new ones. Before any are in force a warning
            // is about something else, such as a subnet that overlaps.
            if self.state.warning.is_some() && self.state.forward.is_some() && self.state.lease.is_some() {
                return Ok(Ending::Warned);
            }
            match self.attached.output.next().await.transpose()? {
                None => return Ok(Ending::Silence),
                Some(Written::Log(bytes)) => self.stream.log(&bytes),
                Some(Written::Output(bytes)) => {
                    for report in self.stream.output(&bytes) {
                        self.state.apply(report);
                        self.tell_progress(progress);
                    }
                }
            }
        }
    }

    fn tell_progress(&self, progress: &Progress) {
        if let Some(search) = &self.state.search {
            let (discovers, offers, naks) = (search.discovers, search.offers, search.naks);
            progress.step(&format!(
                "waiting for an address: {discovers} DISCOVERs sent, {offers} OFFERs, {naks} NAKs"
            ));
        }
    }

    /// The last lines of the agent's log, and why it ended, if it said so.
    pub fn last_words(&self) -> Vec<String> {
        self.state.fatal.clone().map_or_else(|| self.stream.last_words(), |message| vec![message])
    }

    /// What of its standard output was no report.
    pub fn noise(&self) -> Option<Noise> {
        self.stream.noise().cloned()
    }
}
