//! Talks with an agent: tells it the spec, and listens until the target answers.

use std::{future::pending, time::Duration};

use futures_util::StreamExt as _;
use landfall_api::Spec;
use tokio::{io::AsyncWriteExt as _, time::timeout};
use tracing::debug;

use crate::{
    agent_stream::{AgentStream, Noise},
    docker::{Attached, Container, Docker, DockerError, Until, Which, Written},
    error::Error,
    families::Families,
    progress::Progress,
    state::AgentState,
};

/// How long the streams of an agent that has ended may take to end, too.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long the forwards that were asked for may still take once the agent has warned of new ones. A landfall that was killed
/// may have left half a spec in the pipe: then the warning is about that one, and ours comes into force.
const GRACE: Duration = Duration::from_millis(500);

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
    /// The agent ended, with this exit code if the engine knows it.
    Silence(Option<i64>),
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
        // A landfall that was killed may have left half a line in the pipe.
        let document = format!("\n---\n{}...\n", spec.to_yaml());
        let written = self.attached.input.write_all(document.as_bytes()).await;
        written.map_err(|error| Error::Io("write the spec to the agent", error))?;
        self.attached.input.flush().await.map_err(|error| Error::Io("write the spec to the agent", error))
    }

    /// Listens to the agent in the container `id` until the target answers as `spec` wants it, or it is clear that it will not.
    ///
    /// # Errors
    /// If Docker ends the connection.
    pub async fn listen(
        &mut self,
        (docker, id): (&Docker, &str),
        (spec, families): (&Spec, Families),
        progress: &Progress,
    ) -> Result<Ending, DockerError> {
        let heard = {
            let hearing = self.hear(spec, families, progress);
            tokio::pin!(hearing);
            tokio::select! {
                heard = &mut hearing => heard?,
                // Docker 26 may leave the streams of an agent open that ends at once.
                () = end(docker, id) => timeout(LAST_WORDS, hearing).await.unwrap_or(Ok(None))?,
            }
        };
        if let Some(ending) = heard {
            return Ok(ending);
        }
        // An engine may tell that it has ended before it knows how.
        let code = docker.exit_code(id).await?;
        self.recollect(docker, id).await;
        Ok(Ending::Silence(code))
    }

    /// Reads the last words again where they were kept: Podman may put its own in their place when the agent ends at once.
    async fn recollect(&mut self, docker: &Docker, id: &str) {
        let mut kept = AgentStream::default();
        let mut log = docker.log(id, Which::Both, Until::Now);
        while let Some(Ok(written)) = log.next().await {
            match written {
                Written::Log(bytes) => kept.log(&bytes),
                Written::Output(bytes) => {
                    kept.output(&bytes).into_iter().for_each(|report| self.state.apply(report));
                }
            }
        }
        if !kept.last_words().is_empty() {
            self.stream = kept;
        }
    }

    /// Hears what the agent says, until it is clear what comes of it; none if its streams end.
    async fn hear(
        &mut self,
        spec: &Spec,
        families: Families,
        progress: &Progress,
    ) -> Result<Option<Ending>, DockerError> {
        let answers = |state: &AgentState| state.answers(families, spec.forward());
        let warns = |state: &AgentState| warns_of_forwards(state, spec);
        if !self.hear_until(|state| answers(state) || warns(state), progress).await? {
            return Ok(None);
        }
        if answers(&self.state) {
            return Ok(Some(Ending::Answers));
        }
        let warning = self.state.warning.take();
        if let Ok(heard) = timeout(GRACE, self.hear_until(answers, progress)).await {
            debug!(?warning, "something happened after it, so it is not the answer to what was asked");
            return Ok(heard?.then_some(Ending::Answers));
        }
        self.state.warning = self.state.warning.take().or(warning);
        Ok(Some(Ending::Warned))
    }

    /// Hears what the agent says until it is as `enough` wants it; not if its streams end before.
    async fn hear_until(
        &mut self,
        enough: impl Fn(&AgentState) -> bool,
        progress: &Progress,
    ) -> Result<bool, DockerError> {
        while !enough(&self.state) {
            match self.attached.output.next().await.transpose()? {
                None => return Ok(false),
                Some(Written::Log(bytes)) => self.stream.log(&bytes),
                Some(Written::Output(bytes)) => {
                    for report in self.stream.output(&bytes) {
                        self.state.apply(report);
                        self.tell_progress(progress);
                    }
                }
            }
        }
        Ok(true)
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

/// Whether the agent is not content with new forwards: others are in force, so they are what it warns of. Before any are in
/// force a warning is about something else, such as a subnet that overlaps, and so it is once these are, while an address of the
/// other family is waited for.
fn warns_of_forwards(state: &AgentState, spec: &Spec) -> bool {
    let are_others = state.forward.as_ref().is_some_and(|forward| forward != spec.forward());
    state.warning.is_some() && are_others && state.has_address()
}

/// Waits until the container has ended. Where that cannot be found out, its streams are what there is to go by.
async fn end(docker: &Docker, id: &str) {
    if let Err(error) = docker.exit_code(id).await {
        debug!(%error, "not told when the agent ends");
        pending::<()>().await;
    }
}

/// Whether the agent of a container that ran a moment ago has ended. Podman goes on for a while saying that it runs.
///
/// # Errors
/// If the engine does not answer.
pub async fn has_ended(docker: &Docker, container: &Container) -> Result<bool, DockerError> {
    let is_there = container.namespace.exists();
    if !is_there && let Ok(ended) = timeout(LAST_WORDS, docker.exit_code(&container.id)).await {
        return ended.map(|_| true);
    }
    Ok(docker.container(&container.id).await?.is_none_or(|now| !now.is_running()))
}

#[cfg(test)]
mod tests {
    use futures_util::{Stream, stream};
    use landfall_api::{Address, Dhcp, Event, Forward, Report};
    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;

    /// The golden lines of the contract, one for each event.
    const GOLDEN: &str = include_str!("../../agent/api/tests/reports.jsonl");

    fn line(event: &str) -> Written {
        let is_it = |line: &&str| line.contains(&format!(r#""event":"{event}""#));
        Written::Output(format!("{}\n", GOLDEN.lines().find(is_it).expect(event)).into())
    }

    /// A spec for the forwards of the golden report.
    fn spec() -> Spec {
        let report = GOLDEN.lines().find(|line| line.contains("forwarding")).expect("a report");
        let Event::Forwarding { forward } = Report::from_line(report).expect("a report").event else {
            panic!("{report}")
        };
        Spec::new("lan0".parse().expect("a name"), Address::Dhcp(Dhcp::default()), forward).expect("a spec")
    }

    fn attached(output: impl Stream<Item = Written> + Send + 'static) -> Attached {
        Attached { output: Box::pin(output.map(Ok)), input: Box::pin(tokio::io::sink()) }
    }

    /// An agent that forwarded something else before and now says `events`; then it is silent, or ends.
    fn telling(events: &[&str], then: impl Stream<Item = Written> + Send + 'static) -> Conversation {
        let AgentState { lease, .. } = state(&["leased"]);
        let before = AgentState { lease, forward: Some(Vec::<Forward>::new()), ..AgentState::default() };
        let lines: Vec<Written> = events.iter().map(|event| line(event)).collect();
        Conversation::new(attached(stream::iter(lines).chain(then)), before)
    }

    fn state(events: &[&str]) -> AgentState {
        let report = |event: &&str| {
            let Written::Output(bytes) = line(event) else { panic!("{event}") };
            Report::from_line(String::from_utf8(bytes).expect("text").trim()).expect(event)
        };
        AgentState::of(events.iter().map(report))
    }

    async fn heard(conversation: &mut Conversation) -> Option<Ending> {
        conversation.hear(&spec(), Families::V4, &Progress::Quiet).await.expect("a stream without errors")
    }

    #[tokio::test(start_paused = true)]
    async fn a_warning_is_the_answer_if_the_forwards_do_not_come_into_force() {
        let mut conversation = telling(&["warning"], stream::pending());
        assert_eq!(heard(&mut conversation).await, Some(Ending::Warned));
        assert_eq!(conversation.state.warning, state(&["warning"]).warning);
    }

    #[tokio::test(start_paused = true)]
    async fn a_warning_of_what_another_landfall_left_behind_is_not() {
        let mut conversation = telling(&["warning", "forwarding"], stream::pending());
        assert_eq!(heard(&mut conversation).await, Some(Ending::Answers));
        assert_eq!(conversation.state.warning, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_warning_is_no_answer_while_the_other_family_is_waited_for() {
        let mut conversation = telling(&["forwarding", "warning", "warning"], stream::pending());
        let waiting = timeout(GRACE * 4, conversation.hear(&spec(), Families::Both, &Progress::Quiet)).await;
        assert!(waiting.is_err(), "{waiting:?}");
        let mut conversation = telling(&["forwarding", "warning", "ipv6"], stream::pending());
        let heard = conversation.hear(&spec(), Families::Both, &Progress::Quiet).await;
        assert_eq!(heard.expect("a stream without errors"), Some(Ending::Answers));
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_goes_on_talking_does_not_put_off_the_end() {
        let endless = stream::unfold((), |()| async {
            tokio::task::yield_now().await;
            tokio::time::advance(GRACE / 10).await;
            Some((line("renewed"), ()))
        });
        assert_eq!(heard(&mut telling(&["warning"], endless)).await, Some(Ending::Warned));
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_ends_after_a_warning_has_ended() {
        assert_eq!(heard(&mut telling(&["warning"], stream::empty())).await, None);
    }

    #[tokio::test]
    async fn a_spec_begins_on_a_line_of_its_own_whatever_was_left_in_the_pipe() {
        let (mut agent, input) = duplex(1 << 16);
        let attached = Attached { input: Box::pin(input), ..attached(stream::empty()) };
        Conversation::new(attached, AgentState::default()).tell(&spec()).await.expect("the agent listens");
        let mut said = String::new();
        agent.read_to_string(&mut said).await.expect("text");
        assert!(said.starts_with("\n---\n") && said.ends_with("\n...\n"), "{said}");
    }
}
