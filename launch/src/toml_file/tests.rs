use super::*;
use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
struct Fleet {
    name: String,
    workers: u32,
    rate: f64,
    arrivals: Kind,
    #[serde(default)]
    group: Vec<Group>,
    seed: Option<u64>,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Kind {
    Poisson { per_s: f64 },
    None,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
struct Group {
    workers: Spanned<u32>,
    profile: String,
}

fn good(_: Fleet) -> Result<(), Vec<Refused>> {
    Ok(())
}

fn lines(text: &str) -> Vec<String> {
    let said = parse(Path::new("f.toml"), text, good).expect_err("a bad file");
    said.lines().map(str::to_owned).collect()
}

#[test]
fn a_good_file_is_read() {
    let text = "name = 'a'\nworkers = 3\nrate = 2\narrivals = 'none'\n[[group]]\nworkers = 1\nprofile = 'p'\n";
    let fleet = parse(Path::new("f.toml"), text, Ok::<Fleet, _>).expect("a good file");
    assert_eq!((fleet.workers, fleet.rate, fleet.arrivals), (3, 2.0, Kind::None));
    assert_eq!(fleet.group[0].workers.span(), text.find("1\np").map(|at| at..at + 1).unwrap());
}

#[test]
fn all_that_is_wrong_is_said_at_once_each_with_its_line() {
    let text = "workers = -1\nseads = 1\nrate = 'x'\n\n[arrivals.poisson]\nper_m = 1\n\n[[group]]\n\
                workers = 4294967296\n[[group]]\nprofile = 7\n";
    assert_eq!(
        lines(text),
        [
            "f.toml:1: name: missing, expected a text in quotes",
            "f.toml:1: workers: -1, expected a whole number from 0 to 4294967295",
            "f.toml:2: seads: unknown field `seads`, perhaps you meant seed; known are name, workers, \
             rate, arrivals, group, seed",
            "f.toml:3: rate: \"x\", expected a number",
            "f.toml:6: arrivals.poisson.per_m: unknown field `per_m`, perhaps you meant per_s; known \
             are per_s",
            "f.toml:8: group[0].profile: missing, expected a text in quotes",
            "f.toml:9: group[0].workers: 4294967296, expected a whole number from 0 to 4294967295",
            "f.toml:10: group[1].workers: missing, expected a whole number from 0 to 4294967295",
            "f.toml:11: group[1].profile: 7, expected a text in quotes",
        ]
    );
}

#[test]
fn an_empty_file_is_one_error_with_every_field_that_has_no_default() {
    assert_eq!(lines("# nothing\n"), ["f.toml:1: empty, expected arrivals, name, rate, workers"]);
    let said = lines("seed = 1\n");
    assert_eq!(said[0], "f.toml:1: arrivals: missing, expected one of: poisson, none");
    assert_eq!(said.len(), 4);
}

#[test]
fn a_check_speaks_of_the_users_values_alone() {
    let check = |fleet: Fleet| -> Result<(), Vec<Refused>> {
        let small = |field: &str| (field.to_owned(), "too small".to_owned());
        assert_eq!(fleet.workers, 1, "made up");
        Err(vec![small("workers"), small("rate"), small("seed")])
    };
    let text = "name = 'a'\nworkers = 'x'\narrivals = 'none'\nrate = 0.5\nseed = 0\n";
    let said = parse(Path::new("f.toml"), text, check).expect_err("a bad file");
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "f.toml:2: workers: \"x\", expected a whole number from 0 to 4294967295",
            "f.toml:4: rate: too small",
            "f.toml:5: seed: too small",
        ]
    );
}

#[test]
fn a_text_that_is_not_toml_is_one_error() {
    assert_eq!(lines("workers = = 3\nrate = = 4\n").len(), 1);
    assert_eq!(lines("arrivals = 'sometimes'\n").len(), 4);
}

#[test]
fn fields_are_found_by_their_path() {
    let text = "x = 1\n[pool]\nx = 2\n[[group]]\ny = 0\n[[group]]\nx = 3\n";
    let line = |field| place(text, field).map(|at| line_of(text, at));
    assert_eq!(line("x"), Some(1));
    assert_eq!(line("pool.x"), Some(3));
    assert_eq!(line("group.x"), Some(7));
    assert_eq!(line("group[1].x"), Some(7));
    assert_eq!(line("pool.none"), Some(2));
    assert_eq!(line("none"), None);
}
