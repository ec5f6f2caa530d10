//! The clients, and what each of their answers is held to: exactly the tokens that an undisturbed worker gives,
//! once each and in order; or a permitted error after the first of them.

use crate::common::{answer, request};
use crate::fleet::Shared;
use crate::plan::Question;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use warmpath_core::tokens::{Segment, materialize};
use warmpath_proto::vllm::GenerateResponse;
use warmpath_proto::vllm::inference_client::InferenceClient;

/// How an answer ended, if not wrongly.
enum End {
    Whole,
    /// The client went away.
    Left,
    Failed(Status),
}

/// An answer on its way.
struct Reading<'a> {
    question: &'a Question,
    prompt_tokens: usize,
    expected: Vec<u32>,
    got: usize,
    messages: usize,
    finished: bool,
}

/// Asks one question at its instant, and says what was wrong with the answer.
pub async fn ask(shared: Rc<Shared>, channel: Channel, i: usize, begun: Instant) {
    let question = &shared.plan.questions[i];
    sleep_until(begun + Duration::from_millis(question.at_ms)).await;
    shared.open.borrow_mut().insert(i);
    let sent = Instant::now();
    let end = run(&shared, channel, i).await;
    let took = sent.elapsed();
    shared.open.borrow_mut().remove(&i);
    let mut counts = shared.counts.borrow_mut();
    match end {
        Err(wrong) => shared.violation(&format!("question {i}: {wrong}")),
        Ok(End::Whole) => counts.whole += 1,
        Ok(End::Left) => counts.left += 1,
        Ok(End::Failed(status)) => {
            let late = question.deadline_ms.is_some_and(|ms| took >= Duration::from_millis(ms));
            let by_deadline = matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled);
            // The router refuses what it expects too late, at once.
            let reason = status.metadata().get("x-warmpath-reason");
            let expected_late = reason.is_some_and(|why| why == "expected later than its deadline");
            if late && by_deadline || question.deadline_ms.is_some() && expected_late {
                counts.late += 1;
            } else {
                *counts.failed.entry(format!("{:?}", status.code())).or_default() += 1;
                // A connection that broke has no one code.
                let permitted =
                    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted)
                        || shared.plan.router_dies();
                if shared.plan.others_are_well || !permitted {
                    shared.violation(&format!("question {i} failed: {status:?}"));
                }
            }
        }
    }
    if let Some(ms) = question.deadline_ms.filter(|_| !shared.plan.router_dies()) {
        let messages = Duration::from_millis(2 * shared.plan.latency.1 + 10);
        let most = Duration::from_millis(ms) + Duration::from_millis(100) + messages;
        if took > most {
            shared.violation(&format!("question {i} with a deadline of {ms} ms took {took:?}"));
        }
    }
}

async fn run(shared: &Shared, channel: Channel, i: usize) -> Result<End, String> {
    let question = &shared.plan.questions[i];
    let [common, own] = question.prompt;
    let text = [common, own].map(|(seed, tokens)| Segment::Text { seed, tokens });
    let prompt = materialize(&text, common.1 + own.1);
    let mut reading = Reading {
        question,
        prompt_tokens: prompt.len(),
        expected: answer(&prompt, question.tokens),
        got: 0,
        messages: 0,
        finished: false,
    };
    let mut asked = Request::new(request(prompt, question.tokens));
    if let Some(ms) = question.deadline_ms {
        asked.set_timeout(Duration::from_millis(ms));
    }
    shared.network.line(&format!("question {i}"));
    let response = match InferenceClient::new(channel).generate_stream(asked).await {
        Ok(response) => response,
        Err(status) => return Ok(reading.failed(shared, i, status)),
    };
    let header = |name: &str| {
        let value = response.metadata().get(name);
        value.map(|value| value.to_str().unwrap_or_default().to_owned()).unwrap_or_default()
    };
    let (worker, attempts) = (header("x-warmpath-worker"), header("x-warmpath-attempts"));
    shared.network.line(&format!("question {i} goes to {worker}, attempts {attempts:?}"));
    if !attempts.is_empty() {
        shared.counts.borrow_mut().tried_again += 1;
    }
    reading.read(shared, i, response.into_inner()).await
}

impl Reading<'_> {
    async fn read(
        &mut self,
        shared: &Shared,
        i: usize,
        mut stream: Streaming<GenerateResponse>,
    ) -> Result<End, String> {
        loop {
            if self.question.leaves_after.is_some_and(|after| self.got >= after as usize) {
                shared.network.line(&format!("question {i}: its client leaves"));
                return Ok(End::Left);
            }
            match stream.message().await {
                Ok(Some(part)) => {
                    let ended = self.part(part)?;
                    let ended = if ended { ", the end" } else { "" };
                    shared.network.line(&format!("question {i} has {}{ended}", self.got));
                }
                Ok(None) => break,
                Err(status) => return Ok(self.failed(shared, i, status)),
            }
        }
        if !self.finished {
            return Err(format!("the stream ended well after {} tokens, without an end", self.got));
        }
        let trailers = stream.trailers().await.map_err(|status| status.to_string())?;
        let resumed = trailers.unwrap_or_default().get_all("x-warmpath-resumed").iter().count();
        shared.counts.borrow_mut().resumed += resumed as u64;
        Ok(End::Whole)
    }

    /// Whether it was the last one.
    fn part(&mut self, part: GenerateResponse) -> Result<bool, String> {
        let fails = |what: &str| Err(format!("{what}, after {} tokens", self.got));
        if self.finished {
            return fails("a message after the end");
        }
        let prompt = part.prompt_info.map(|info| info.num_prompt_tokens as usize);
        if prompt != (self.messages == 0).then_some(self.prompt_tokens) {
            return fails("the prompt's tokens come first, and once");
        }
        self.messages += 1;
        let Some(outputs) = part.outputs else { return fails("a message without outputs") };
        let ids = &outputs.token_ids;
        let rest = &self.expected[self.got..];
        if ids.len() != outputs.num_tokens as usize || !rest.starts_with(ids) {
            return fails("tokens that are lost, doubled or wrong");
        }
        self.got += ids.len();
        if let Some(finish) = outputs.finish_info {
            let all = [self.got, self.expected.len(), finish.num_output_tokens as usize];
            if all != [self.expected.len(); 3] {
                return Err(format!("an end with {all:?} tokens"));
            }
            if finish.num_cached_tokens.unwrap_or(0) as usize > self.prompt_tokens {
                return Err("more tokens cached than the prompt has".to_owned());
            }
            self.finished = true;
        }
        Ok(self.finished)
    }

    fn failed(&self, shared: &Shared, i: usize, status: Status) -> End {
        let (code, why) = (status.code(), status.message());
        shared.network.line(&format!("question {i} failed after {}: {code:?} {why}", self.got));
        End::Failed(status)
    }
}
