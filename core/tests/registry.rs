//! Rewards by name, and by a name of the config's own.
#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use counterpoint::registry::{BuildContext, RewardEntry, named_reward, settings};
use counterpoint::{ErrorKind, Judges, Result, Reward, Sample, Score, Task, inventory};
use toml::toml;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Constant {
    value: f64,
}

impl Reward for Constant {
    fn name(&self) -> &str {
        "constant"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        Ok(vec![Score::Value(self.value); samples.len()])
    }

    fn preview(&mut self, previews: &[Sample]) -> Result<Vec<Score>> {
        Ok(vec![Score::Value(self.value / 2.0); previews.len()])
    }

    fn judges(&self) -> Judges {
        Judges::Generation
    }

    fn device(&self) -> Option<String> {
        Some("flex".to_owned())
    }
}

inventory::submit! {
    RewardEntry::new("constant", |table, _| Ok(Box::new(settings::<Constant>("constant", table)?)))
}

fn build(name: &str, table: &toml::Table) -> Result<Box<dyn Reward>> {
    named_reward(name, table, &BuildContext::new(Device::flex(), "."))
}

#[test]
fn a_reward_has_the_name_that_the_config_gives_it() {
    let sample = Sample::new(&Task::new(0, ""), 0, String::new(), String::new(), None);
    let mut named = build("constant", &toml! { value = 0.5 }).unwrap();
    assert_eq!(named.name(), "constant");
    let mut other = build("other", &toml! { kind = "constant" value = 0.25 }).unwrap();
    assert_eq!(other.name(), "other");
    let scores = [&mut named, &mut other].map(|reward| reward.score(std::slice::from_ref(&sample)).unwrap());
    assert_eq!(scores, [[Score::Value(0.5)], [Score::Value(0.25)]]);
    assert_eq!(other.preview(&[sample]).unwrap(), [Score::Value(0.125)]);
    assert_eq!((other.judges(), other.device().as_deref()), (Judges::Generation, Some("flex")));
}

#[test]
fn a_kind_that_is_none_is_refused_with_the_rewards_name() {
    let refused = |name: &str, table: toml::Table| {
        let error = build(name, &table).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    };
    assert!(refused("other", toml! { value = 1.0 }).contains("no reward is registered as `other`"));
    let message = refused("other", toml! { kind = "constnat" value = 1.0 });
    assert!(message.starts_with("rewards.other: ") && message.contains("did you mean `constant`?"), "{message}");
    assert!(refused("other", toml! { kind = 3 value = 1.0 }).contains("rewards.other.kind: expected a string"));
    assert!(refused("other", toml! { kind = "constant" worth = 1.0 }).contains("worth"));
}
