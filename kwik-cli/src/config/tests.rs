#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;

use super::*;

const LINE: [&str; 6] = ["kwik", "serve", "--listen", "127.0.0.1:0", "--root", "d"];
const PIN: &str = "sha256:abababababababababababababababababababababababababababababababab";

/// Settings of a command line with a file and variables.
fn settings(
    more: &[&str],
    file: Option<&str>,
    variables: &[(&str, &str)],
) -> Result<ServeArgs, Vec<String>> {
    settings_of(&[&LINE[..], more].concat(), file, variables)
}

fn settings_of(
    line: &[&str],
    file: Option<&str>,
    variables: &[(&str, &str)],
) -> Result<ServeArgs, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kwik.toml");
    let mut line: Vec<OsString> = line.iter().map(Into::into).collect();
    if let Some(text) = file {
        fs::write(&path, text).unwrap();
        line.extend(["--config".into(), path.clone().into()]);
    }
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    let options = Options::of_line(&line).expect("it is a line for serve");
    let parsed = complete(&line, &options, |name| variables.get(name).map(OsString::from));
    match parsed.map(|cli| cli.command) {
        Ok(Command::Serve(args)) => Ok(args),
        Ok(_) => panic!("it is another command"),
        Err(misuse) => {
            let short = |line: String| line.replace(&path.display().to_string(), "kwik.toml");
            Err(misuse.lines().into_iter().map(short).collect())
        }
    }
}

fn faults(file: &str) -> Vec<String> {
    settings(&[], Some(file), &[]).unwrap_err()
}

#[test]
fn a_flag_comes_before_a_variable_before_the_file_before_the_default() {
    let file = Some("max-mtu = 1400\ngrace = \"3s\"\ncongestion = 'cubic'\n");
    let mtu = |more: &[&str], file, variables: &[(&str, &str)]| {
        settings(more, file, variables).unwrap().max_mtu
    };
    let variables = [("KWIK_MAX_MTU", "1300"), ("KWIK_LOG", "debug")];
    assert_eq!(mtu(&["--max-mtu", "1250"], file, &variables), Some(1250));
    assert_eq!(mtu(&[], file, &variables), Some(1300));
    assert_eq!(mtu(&[], file, &[("KWIK_MAX_MTU", "")]), Some(1400), "empty is not set");
    assert_eq!(mtu(&[], None, &[]), None);
    let args = settings(&[], file, &[]).unwrap();
    assert_eq!(args.grace.as_secs(), 3);
    assert_eq!(args.congestion, kwik_client::CongestionControl::Cubic);
    assert_eq!(settings(&[], None, &[]).unwrap().grace.as_secs(), 30);
}

#[test]
fn what_is_required_may_come_from_anywhere() {
    let file = Some("root = \"/srv\"\nno-proof = true\ndelegate-only = false\nidentity = 'i'\n");
    let secondary = format!("h:1#{PIN}, i:2#{PIN}");
    let variables = [("KWIK_LISTEN", "[::1]:7"), ("KWIK_SECONDARY", &secondary)];
    let args = settings_of(&["kwik", "serve"], file, &variables).unwrap();
    assert_eq!((args.listen.as_str(), args.root), ("[::1]:7", PathBuf::from("/srv")));
    assert!(args.no_proof && !args.delegate_only);
    assert_eq!(args.secondary.len(), 2);
    let lines = settings_of(&["kwik", "serve"], Some(""), &[]).unwrap_err();
    assert!(lines[0].contains("kwik.toml") && lines[0].contains("--listen"), "{lines:?}");
}

#[test]
fn a_list_replaces_that_of_a_source_that_comes_after_it() {
    let file = Some("trust = ['a', 'b']\n");
    let trust = |more: &[&str], variables: &[(&str, &str)]| {
        let args = settings(more, file, variables).unwrap();
        args.trust.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(trust(&[], &[]), "a b");
    assert_eq!(trust(&[], &[("KWIK_TRUST", "c")]), "c");
    assert_eq!(trust(&["--trust", "d"], &[("KWIK_TRUST", "c")]), "d");
}

#[test]
fn a_fault_is_told_with_its_place() {
    for (file, told) in [
        (
            "\n\nmax_mtu = 1400\n",
            "kwik.toml:3:1: there is no setting 'max_mtu'; do you mean 'max-mtu'?",
        ),
        ("secondry = []", "do you mean 'secondary'?"),
        ("zzzz = 1", "kwik.toml:1:1: there is no setting 'zzzz'; they are the options"),
        ("config = 'x'", "kwik.toml:1:1: there is no setting 'config'"),
        ("check-config = true", "there is no setting 'check-config'"),
        ("help = true", "there is no setting 'help'"),
        ("[serve]\nroot = 'x'", "kwik.toml:1:2: there is no setting 'serve'"),
        ("max-mtu = 12", "kwik.toml:1:1: max-mtu: invalid value '12'"),
        ("max-mtu = -7", "kwik.toml:1:1: max-mtu: invalid value '-7'"),
        ("max-mtu = 99999999999999999999", "kwik.toml:1:11: max-mtu is too large a number"),
        ("max-mtu = 1.5", "kwik.toml:1:11: max-mtu wants text or a whole number, and this is"),
        ("max-mtu = [1]", "and this is a list"),
        ("grace = 2026-01-01", "and this is a date"),
        ("no-proof = 'yes'", "no-proof wants true or false, and this is text"),
        ("no-proof = 1", "no-proof wants true or false, and this is a whole number"),
        ("metrics = ''", "kwik.toml:1:1: metrics: is empty"),
        ("trust = ['a', '']", "trust: is empty"),
        ("trust = ['a', 1.5]", "trust wants text or a list of texts"),
        ("trust = ['a', 'b', 'a']", "kwik.toml:1:1: trust: a is named twice"),
        ("max-mtu = 1400\nmax-mtu = 1400", "kwik.toml:2:1: duplicate key"),
        ("max-mtu = ", "kwik.toml:1:"),
        ("grace = \"3s\nroot", "kwik.toml:1:"),
        ("\u{fc} = 1", "kwik.toml:1:1:"),
        ("root = \"\u{fc}\"; x", "kwik.toml:1:"),
        ("identity = 'i'\nsecondary = ['1.2.3.4:5']", "kwik.toml:2:1: secondary: invalid value"),
        ("secondary = ['1.2.3.4:5#x']", "kwik.toml:1:1: secondary: invalid value"),
        ("cert = 'c'", "kwik.toml: the following required arguments were not provided: --key"),
    ] {
        let lines = faults(file);
        assert!(lines.iter().any(|line| line.contains(told)), "{file:?}: {lines:?}");
        assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
    }
}

#[test]
fn all_faults_are_told_at_once_in_their_order_and_no_more_than_a_page() {
    let lines = faults("b1 = 1\nmax-mtu = true\na1 = 1\n");
    let lines: Vec<_> = lines.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(lines, ["kwik.toml:1:1", "kwik.toml:2:11", "kwik.toml:3:1"]);
    let many: String = (0..1000).map(|n| format!("x{n} = 1\n")).collect();
    assert_eq!(faults(&many).len(), MAX_FAULTS);
    let broken: String = (0..1000).map(|n| format!("x{n} = \n")).collect();
    assert!(faults(&broken).len() <= MAX_FAULTS);
}

#[test]
fn what_is_huge_is_refused_in_few_words() {
    let long = "x".repeat(100_000);
    let many: Vec<String> = (0..1000).map(|n| format!("'{n}'")).collect();
    for (file, told) in [
        (format!("root = '{long}'"), "more than 4096 bytes"),
        (format!("{long} = 1"), "there is no setting"),
        (format!("trust = [{}]", many.join(",")), "more than 256 values"),
        (format!("trust = {}{}", "[".repeat(10_000), "]".repeat(10_000)), "kwik.toml:1:"),
        (format!("#{}", "x".repeat(1 << 20)), "more than 1048576 bytes"),
    ] {
        let line = faults(&file).join(" ");
        assert!(line.contains(told), "{}", &line[..line.len().min(500)]);
        assert!(line.len() < 500, "{} bytes", line.len());
    }
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    for (variable, value, told) in [
        ("KWIK_MAX_MTU", "12", "KWIK_MAX_MTU: max-mtu: invalid value '12'"),
        ("KWIK_NO_PROOF", "yes", "KWIK_NO_PROOF: want true or false"),
        ("KWIK_TRUST", "a,,b", "KWIK_TRUST: trust: is empty"),
        ("KWIK_TRUST", "a,a", "KWIK_TRUST: trust: a is named twice"),
    ] {
        let lines = settings(&[], None, &[(variable, value)]).unwrap_err();
        assert!(lines[0].contains(told), "{lines:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("missing")] {
        let path = path.display().to_string();
        let lines = settings(&["--config", &path], None, &[]).unwrap_err();
        assert!(lines[0].contains(&path) && lines[0].contains("--config"), "{lines:?}");
        let lines = settings(&[], None, &[("KWIK_CONFIG", &path)]).unwrap_err();
        assert!(lines[0].contains(&path), "{lines:?}");
    }
}

#[test]
fn an_error_that_shows_later_has_the_place_too() {
    let args = settings(&[], Some("grace = 3\nmetrics = '127.0.0.1:9'\n"), &[]).unwrap();
    let told = format!("{:#}", args.origins.blame("metrics", anyhow::anyhow!("it is taken")));
    assert!(told.ends_with("kwik.toml:2:1: metrics: it is taken"), "{told}");
    let told = format!("{:#}", args.origins.blame("root", anyhow::anyhow!("it is gone")));
    assert_eq!(told, "it is gone", "the command line has it");
}
