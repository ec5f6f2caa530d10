//! What goes wrong, at its instant.

use crate::common::faulty::Trouble;
use crate::fleet::{LIMIT, Operator, START, Shared, WorkerHost, name};
use crate::plan::{Fault, Kind, Way};
use std::rc::Rc;
use std::time::Duration;
use turmoil::Sim;

/// Carries out what the plan says of each worker.
pub struct Fates {
    pub workers: Vec<WorkerHost>,
    pub operator: Operator,
    pub shared: Rc<Shared>,
}

#[derive(Clone, Copy)]
enum Step {
    Begin,
    /// Connections that lost bytes end.
    Found,
    End,
}

impl Fates {
    pub fn play(&mut self, sim: &mut Sim<'_>) {
        let mut steps = Vec::new();
        for fault in self.shared.plan.faults.clone() {
            *self.shared.counts.borrow_mut().faults.entry(fault.kind.name()).or_default() += 1;
            steps.push((fault.from_ms, Step::Begin, fault));
            steps.push((fault.until_ms, Step::End, fault));
            // A kernel's message arrives a little later.
            let found_at = match fault.kind {
                Kind::Cut { found_ms, .. } => Some(fault.from_ms + found_ms),
                Kind::Crash { power: true, .. } | Kind::RouterCrash => Some(fault.from_ms + 5),
                Kind::Stop => Some(fault.until_ms + 5),
                _ => None,
            };
            steps.extend(found_at.map(|at| (at, Step::Found, fault)));
        }
        steps.sort_by_key(|&(at, _, fault)| (at, fault.worker));
        let mut steps = steps.into_iter().peekable();
        loop {
            let now = sim.elapsed();
            while let Some((_, step, fault)) =
                steps.next_if(|&(at, ..)| START + Duration::from_millis(at) <= now)
            {
                self.step(sim, step, fault);
            }
            if steps.peek().is_none() {
                self.shared.healed.send_if_modified(|healed| !std::mem::replace(healed, true));
            }
            match sim.step() {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => return self.shared.violation(&format!("a process failed: {error}")),
            }
            if now > LIMIT {
                let open = self.shared.open.borrow().clone();
                return self.shared.violation(&format!("questions without an end: {open:?}"));
            }
        }
    }

    /// A process's connections are dropped in an order that differs from run to run, and the network draws a delay
    /// for what each says. So they say nothing, and what its kernel says comes later.
    fn quietly(&self, sim: &mut Sim<'_>, host: &str, act: impl FnOnce(&mut Sim<'_>)) {
        let workers = (0..self.workers.len()).map(name);
        let others: Vec<_> = workers.chain(["router".to_owned(), "clients".to_owned()]).collect();
        let others = || others.iter().filter(|other| *other != host);
        others().for_each(|other| sim.partition(host, &**other));
        act(sim);
        others().for_each(|other| sim.repair(host, &**other));
    }

    fn step(&self, sim: &mut Sim<'_>, step: Step, fault: Fault) {
        let Fault { worker, kind, .. } = fault;
        let (name, host) = (&*name(worker), &self.workers[worker]);
        let network = &self.shared.network;
        let now = sim.elapsed().as_secs_f64();
        let what = match step {
            Step::Begin => "begins",
            Step::Found => "is found",
            Step::End => "ends",
        };
        let line = format!("{now:>10.3} {} of {name} {what}\n", kind.name());
        self.shared.network.trace.lock().unwrap().text.push_str(&line);
        match (kind, step) {
            (Kind::Crash { slow, .. }, Step::Begin) => {
                host.slow.set(slow);
                self.quietly(sim, name, |sim| sim.crash(name));
            }
            (Kind::Stop, Step::Begin) => {
                host.slow.set(1.0);
                host.stop.send_modify(|stops| *stops += 1);
            }
            (Kind::Crash { .. } | Kind::Stop, Step::End) => {
                self.quietly(sim, name, |sim| sim.bounce(name));
            }
            (Kind::RouterCrash, Step::Begin) => {
                self.quietly(sim, "router", |sim| sim.crash("router"));
            }
            (Kind::RouterCrash, Step::End) => sim.bounce("router"),
            (Kind::RouterCrash, Step::Found) => {
                (0..=network.clients()).for_each(|link| network.end_connections(link));
            }
            (Kind::Hold, Step::Begin) => sim.hold("router", name),
            (Kind::Hold, Step::End) => sim.release("router", name),
            (Kind::Delay { most_ms }, Step::Begin) => {
                sim.set_link_max_message_latency("router", name, Duration::from_millis(most_ms));
            }
            (Kind::Delay { .. }, Step::End) => {
                let most = Duration::from_millis(self.shared.plan.latency.1);
                sim.set_link_max_message_latency("router", name, most);
            }
            (Kind::Cut { way, .. }, Step::Begin) => {
                self.shared.network.set_cut(worker, true);
                match way {
                    Way::Both => sim.partition("router", name),
                    Way::ToWorker => sim.partition_oneway("router", name),
                    Way::FromWorker => sim.partition_oneway(name, "router"),
                }
            }
            (Kind::Cut { .. }, Step::End) => {
                self.shared.network.set_cut(worker, false);
                sim.repair("router", name);
            }
            (Kind::Drain, step) => {
                if let Some(operator) = &*self.operator.borrow() {
                    let _ = operator.send((worker, matches!(step, Step::Begin)));
                }
            }
            (Kind::Calls(_), step) => {
                let trouble = match (kind, step) {
                    (Kind::Calls(trouble), Step::Begin) => trouble,
                    _ => Trouble::None,
                };
                host.trouble.set(trouble);
                if let Some(front) = &*host.front.borrow() {
                    front.set(trouble);
                }
            }
            (_, Step::Found) => network.end_connections(worker),
        }
    }
}
