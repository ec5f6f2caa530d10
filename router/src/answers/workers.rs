//! The list of workers as a table.

use warmpath_proto::admin::standing_name;
use warmpath_proto::v1::{LoadReport, Worker};
use warmpath_sheet::{Column, Format, Sheet, Value};

/// A row for each worker. `epochs`: with the number of each one's life. What is known of joined workers only is absent in the rows of the others.
pub fn workers(workers: &[Worker], epochs: bool) -> Sheet {
    let mut sheet = Sheet::new("", columns(epochs)).dropping();
    for worker in workers {
        sheet.push(row(worker, epochs));
    }
    sheet
}

/// The columns that an operator needs least are left out first.
fn columns(epochs: bool) -> Vec<Column> {
    let text = Column::text;
    let number = Column::number;
    let mut columns = vec![
        text("worker", "worker", "The worker's number."),
        text("name", "name", "The name that it gives itself."),
        text("state", "state", "Whether the worker takes requests, and if not, what became of it."),
        number(
            "active",
            "active",
            "requests",
            "Requests that the router sent it and that have not ended.",
        ),
        number(
            "backlog_s",
            "backlog s",
            "s",
            "Predicted time until it could begin with a new prompt.",
        )
        .format(Format::digits(3))
        .rank(1),
        number("waiting", "waiting", "requests", "Requests in its queue, by its last report.")
            .rank(4),
        number("running", "running", "requests", "Requests in its batch, by its last report.")
            .rank(3),
        number("blocks", "blocks", "blocks", "Blocks in its HBM, by its last report.").rank(6),
        number(
            "total_blocks",
            "of",
            "blocks",
            "Blocks that its HBM can hold; \"any\" is no limit.",
        )
        .rank(5),
        number("block_size", "block", "tokens", "Tokens in one of its blocks.").rank(8),
        text("model", "model", "The model that it serves.").rank(7),
        text("url", "url", "Where the router reaches it.").rank(2),
        text("why", "why", "Why it is in that state.").wraps(),
    ];
    let epoch = "The number of its present life; a restart changes it.";
    columns.extend(epochs.then(|| text("epoch", "epoch", epoch)));
    columns
}

fn row(worker: &Worker, epochs: bool) -> Vec<Value> {
    let load = |number: fn(&LoadReport) -> u64| Value::from(worker.load.as_ref().map(number));
    let joined = worker.epoch.is_some();
    let here = |value: Value| if joined { value } else { Value::Absent };
    let total = worker.total_blocks.map_or_else(|| "any".into(), Value::from);
    let why = match (worker.drained, joined) {
        (true, false) => format!("{}, drained by the operator", worker.why),
        _ => worker.why.clone(),
    };
    let mut cells = vec![
        format!("w{}", worker.number).into(),
        Value::text_or_blank(worker.name.clone()),
        standing_name(worker.standing()).into(),
        here(worker.active_requests.into()),
        here(worker.backlog_s.into()),
        load(|load| load.waiting.into()),
        load(|load| load.running.into()),
        load(|load| load.blocks_by_tier.first().copied().unwrap_or(0)),
        here(total),
        here(worker.block_size.into()),
        here(worker.model.as_str().into()),
        worker.url.as_str().into(),
        Value::text_or_blank(why),
    ];
    cells.extend(epochs.then(|| worker.epoch.map(|epoch| epoch.to_string()).into()));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_proto::v1::WorkerStanding;
    use warmpath_sheet::render;

    fn lost() -> Worker {
        let mut worker = Worker { url: "http://10.0.0.1:9000".to_owned(), ..Default::default() };
        worker.set_standing(WorkerStanding::Lost);
        worker.why = "its feed ended".to_owned();
        worker
    }

    fn joined() -> Worker {
        let load = LoadReport {
            waiting: 2,
            running: 14,
            blocks_by_tier: vec![18_200],
            ..Default::default()
        };
        let mut worker = Worker {
            number: 12,
            name: "gpu-b".to_owned(),
            url: "http://10.0.0.2:9000".to_owned(),
            epoch: Some(1_766_000_000_123),
            model: "llama-3.3-70b".to_owned(),
            block_size: 16,
            total_blocks: Some(20_480),
            active_requests: 17,
            backlog_s: 0.25,
            load: Some(load),
            ..Default::default()
        };
        worker.set_standing(WorkerStanding::Joined);
        worker
    }

    #[test]
    fn a_worker_that_is_away_has_dashes() {
        let text = render::text(&workers(&[lost()], false), 140);
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
        let cells = |line: &[&str]| -> Vec<String> {
            line.iter().filter(|cell| !cell.is_empty()).map(ToString::to_string).collect()
        };
        let [headings, row] = [cells(&lines[0]), cells(&lines[1])];
        assert_eq!(headings.len(), row.len(), "{text}");
        assert_eq!(row[..2], ["w0", "lost"]);
        assert!(row[2..11].iter().all(|cell| cell == "-"), "{text}");
        assert_eq!(row[11..], ["http://10.0.0.1:9000", "its feed ended"]);
    }

    #[test]
    fn at_80_columns_what_matters_least_is_left_out() {
        let text = render::text(&workers(&[lost(), joined()], false), 80);
        assert_eq!(
            text,
            "\
worker  state   active  backlog s  running  url                   why
w0      lost         -          -        -  http://10.0.0.1:9000  its feed ended
w12     joined      17      0.250       14  http://10.0.0.2:9000

Left out at 80 columns: waiting, blocks, of, block, model, epoch. --width 141
shows all.
"
        );
    }
}
