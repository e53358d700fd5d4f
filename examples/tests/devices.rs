//! Devices of other machines, on this one: what parity says of them, and runs whose servers are killed. Needs `--features remote`.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use counterpoint::device::TOKEN;

fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(Path::parent).unwrap();
    let mut command = Command::new(target.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
    command.env(TOKEN, "a secret");
    command
}

/// A server of this machine's CPU, and the name of its device.
struct Server {
    process: Child,
    name: String,
}

impl Server {
    fn start() -> Self {
        let mut process = example("serve")
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut name = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut name).unwrap();
        Self { process, name: name.trim().to_owned() }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn fixture(policy: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../policies/{policy}/tests/fixtures/{policy}_tiny"))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn both_policies_pass_in_every_quantity() {
    let server = Server::start();
    for policy in ["showo", "janus"] {
        let output =
            example("parity").arg(policy).arg(fixture(policy)).args(["--device", &server.name]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
}

#[test]
fn without_the_token_or_a_server_it_is_said_what_to_do() {
    let server = Server::start();
    let asked = |device: &str, token: &str| {
        let mut command = example("parity");
        command.arg("showo").arg(fixture("showo")).args(["--device", device]).env(TOKEN, token);
        let output = command.output().unwrap();
        assert!(!output.status.success());
        text(&output)
    };
    for (device, token, said) in [
        (server.name.as_str(), "", "which is not set"),
        (&server.name, "another", "to the token that the server was started with"),
        ("remote:ws://127.0.0.1:1", "a secret", "start `serve` there"),
        ("remote:ws://127.0.0.1", "a secret", "it has no port"),
        (&format!("{}/3", server.name), "a secret", "cannot be connected"),
        ("remote:tcp://127.0.0.1:1", "a secret", "neither `ws:` nor `iroh:`"),
        ("remote:iroh:nobody@127.0.0.1:1", "a secret", "no server's id"),
    ] {
        let told = asked(device, token);
        assert!(told.contains(said), "{device}: {told}");
    }
    let output = example("serve").env_remove(TOKEN).output().unwrap();
    assert!(text(&output).contains(TOKEN), "{}", text(&output));
    let output = example("serve").args(["--listen", "0.0.0.0:0"]).output().unwrap();
    assert!(text(&output).contains("not encrypted"), "{}", text(&output));
}

/// The main job, short, with what is changed; lines of JSON.
fn job(folder: &Path, set: &[String]) -> Command {
    let mut command = example("sync_r1");
    command.arg("--json").args(["--config", concat!(env!("CARGO_MANIFEST_DIR"), "/sync_r1.toml")]);
    for set in [
        "trainer.steps=4",
        "trainer.group_size=4",
        "trainer.tasks_per_step=1",
        "trainer.checkpoint_every=0",
        "data.answer_share=0",
        "evaluation.kind=none",
    ] {
        command.args(["--set", set]);
    }
    command.args(["--set", &format!("run.output='{}'", folder.display())]);
    for set in set {
        command.args(["--set", set]);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Lets the job run, and kills the server once a step is done.
fn killed(mut command: Command, server: &mut Server) -> (bool, String) {
    let mut child = command.spawn().unwrap();
    let (mut told, mut alive) = (String::new(), true);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if alive && line.contains("\"event\":\"step\"") {
            server.kill();
            alive = false;
        }
        told += &(line + "\n");
    }
    let output = child.wait_with_output().unwrap();
    assert!(!alive, "{told}{}", text(&output));
    (output.status.success(), told + &text(&output))
}

#[test]
fn rollouts_go_on_without_a_server_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (well, mut doomed) = (Server::start(), Server::start());
    let placed = format!("placement.rollouts=['{}', '{}']", well.name, doomed.name);
    let placed = [placed, "trainer.images_per_answer=1".to_owned()];
    let (success, told) = killed(job(folder.path(), &placed), &mut doomed);
    assert!(success, "{told}");
    assert!(told.contains("\"event\":\"device_lost\"") && told.contains(&doomed.name), "{told}");
    assert_eq!(told.matches("\"event\":\"step\"").count(), 4, "{told}");
}

#[test]
fn updates_on_two_servers_have_the_gradient_of_one_process() {
    let servers = [Server::start(), Server::start()];
    let step = |set: &[String]| -> Vec<f64> {
        let folder = tempfile::tempdir().unwrap();
        let more = ["trainer.steps=1", "trainer.chunk=2", "trainer.images_per_answer=1"].map(str::to_owned);
        let set = [set, &more].concat();
        let output = job(folder.path(), &set).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let lines = String::from_utf8(output.stdout).unwrap();
        let line = lines.lines().find(|line| line.contains("\"event\":\"step\"")).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        // Not the loss, which is 0 up to rounding in a first update.
        ["reward", "grad_norm", "grad_norm/understanding", "grad_norm/generation"]
            .map(|name| line[name].as_f64().unwrap())
            .to_vec()
    };
    let placed = format!("placement.updates=['{}', '{}']", servers[0].name, servers[1].name);
    let (far, here) = (step(&[placed]), step(&[]));
    let whole = here[1];
    assert!(whole > 1e-3, "{here:?}");
    // A half whose candidates are all alike has no gradient, up to rounding.
    assert!(far.iter().zip(&here).all(|(far, here)| (far - here).abs() <= 1e-5 * whole), "{far:?}, here {here:?}");
}

#[test]
fn a_run_whose_rewards_are_killed_ends_with_a_checkpoint_from_which_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut doomed = Server::start();
    let placed = format!("placement.rewards='{}'", doomed.name);
    let (success, told) = killed(job(folder.path(), &[placed]), &mut doomed);
    assert!(!success, "{told}");
    assert!(told.contains("which are in a checkpoint"), "{told}");
    let output = job(folder.path(), &[]).arg("--resume").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let steps = text(&output).matches("\"event\":\"step\"").count();
    assert!((1..4).contains(&steps), "it goes on: {}", text(&output));
}
